/** Revoked session tokens, in memory: a restart forgets them, which the short life of a token bounds. */
import { MAX_TTL_MS, type TokenClaims } from './token.ts';

/** Remembers which sessions' tokens are no good any more. */
export interface Revocations {
  /** Revokes every token of the session that has been made so far. Tokens made later are good again. */
  revoke(sessionId: string): void;
  isRevoked(claims: TokenClaims): boolean;
}

/** Makes an empty set. Entries go once every token that they concern has expired. */
export function createRevocations(now: () => number = Date.now): Revocations {
  const revokedAt = new Map<string, number>();
  return {
    revoke(sessionId) {
      for (const [id, at] of revokedAt) if (at < now() - MAX_TTL_MS) revokedAt.delete(id);
      revokedAt.set(sessionId, now());
    },
    isRevoked({ sessionId, issuedAtMs }) {
      const at = revokedAt.get(sessionId);
      return at !== undefined && issuedAtMs <= at;
    },
  };
}
