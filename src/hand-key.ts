/** The key that a hand is provisioned under: `<session>-<provisioning>`, so that a hand tells whose it is. */

/** The key of one provisioning of a session. */
export function handKey(sessionId: string, provisioning: string): string {
  return `${sessionId}-${provisioning}`;
}

/** Whose hand a key names. */
export function sessionOfHandKey(key: string): string {
  return key.slice(0, key.indexOf('-'));
}
