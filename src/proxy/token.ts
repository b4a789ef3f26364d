/**
 * Session tokens: what a caller shows to the credential proxy in place of a key. Short-lived, signed, and good for
 * one session only; whoever holds the secret can make them, nobody needs to be asked.
 */
import { randomUUID } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';

const AUDIENCE = 'drover-proxy';
const DEFAULT_TTL_MS = 15 * 60_000;
const MIN_SECRET_BYTES = 32;
const EXPIRED = 'The session token has expired.';
const INVALID = 'The session token is not valid.';

/** No token lives longer than this, whatever its maker asked for. So a revocation may be forgotten after it. */
export const MAX_TTL_MS = 60 * 60_000;

/** What a valid token says. */
export interface TokenClaims {
  readonly sessionId: string;
  readonly tokenId: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** Makes and checks tokens. */
export interface SessionTokens {
  mint(grant: { sessionId: string; ttlMs?: number }): Promise<string>;
  /** @throws {TokenError} when the token is forged, expired, or meant for something else. */
  verify(token: string): Promise<TokenClaims>;
}

/** A token that is not accepted. The message is fit to be shown to the caller. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

/** Makes the tokens of a secret, which must be at least 32 bytes long. */
export function createTokens(secret: string, { now = Date.now }: { now?: () => number } = {}): SessionTokens {
  const key = new TextEncoder().encode(secret);
  if (key.length < MIN_SECRET_BYTES) {
    throw new RangeError(`The secret for session tokens must be at least ${MIN_SECRET_BYTES} bytes long.`);
  }
  return {
    async mint({ sessionId, ttlMs = DEFAULT_TTL_MS }) {
      if (!(ttlMs > 0 && ttlMs <= MAX_TTL_MS)) {
        throw new RangeError(`A session token lives for at most ${MAX_TTL_MS} ms, not ${ttlMs}.`);
      }
      // Fractions of a second matter: a token made just after a revocation must be told from one made just before.
      const issuedAt = now() / 1000;
      return await new SignJWT({ iat: issuedAt, exp: issuedAt + ttlMs / 1000 })
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(sessionId)
        .setAudience(AUDIENCE)
        .setJti(randomUUID())
        .sign(key);
    },

    async verify(token) {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['HS256'],
        audience: AUDIENCE,
        requiredClaims: ['sub', 'exp', 'iat', 'jti'],
        currentDate: new Date(now()),
      }).catch((error: unknown) => {
        throw toTokenError(error);
      });
      const { sub = '', jti = '', iat = 0, exp = 0 } = payload;
      const claims = { sessionId: sub, tokenId: jti, issuedAtMs: iat * 1000, expiresAtMs: exp * 1000 };
      // The library only knows whole seconds.
      if (claims.expiresAtMs <= now()) throw new TokenError(EXPIRED);
      if (claims.expiresAtMs - claims.issuedAtMs > MAX_TTL_MS) throw new TokenError(INVALID);
      return claims;
    },
  };
}

function toTokenError(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return new TokenError(EXPIRED);
  return error instanceof errors.JOSEError ? new TokenError(INVALID) : error;
}
