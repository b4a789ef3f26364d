/** What a store may throw, whatever it is made of, that says something about the world and not about a bug. */

/** The store cannot be reached now. Nothing is known to be wrong with what was asked of it. */
export class StorageUnavailableError extends Error {
  override readonly name = 'StorageUnavailableError';
}

/** The store cannot hold, or look for, one of the values that it was given. */
export class UnstorableValueError extends Error {
  override readonly name = 'UnstorableValueError';
}
