/** Ids on the wire: a prefix that names the kind, `01`, and 22 base58 characters (wire-api section 4). */

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const WIDTH = 22;

/** The prefixes in use. */
export type IdPrefix =
  | 'agent'
  | 'env'
  | 'sesn'
  | 'sevt'
  | 'sthr'
  | 'req'
  | 'hand'
  | 'wrkspc'
  | 'msg'
  | 'toolu';

/** Turns a UUID into an id of the wire's form. Pure, so that workflow code can use it with its own `uuid4()`. */
export function toId(prefix: IdPrefix, uuid: string): string {
  let rest = BigInt(`0x${uuid.replaceAll('-', '')}`);
  let text = '';
  while (text.length < WIDTH) {
    text = ALPHABET.charAt(Number(rest % 58n)) + text;
    rest /= 58n;
  }
  return `${prefix}_01${text}`;
}

/** Whether a text has the form of an id with this prefix. Says nothing about whether the thing exists. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return new RegExp(`^${prefix}_[A-Za-z0-9]{1,64}$`).test(text);
}
