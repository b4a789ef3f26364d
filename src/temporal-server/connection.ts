/** The one way to reach Temporal: the SDK's defaults have faults that this works around. */
import { Connection, type ConnectionOptions } from '@temporalio/client';

const LARGEST_MESSAGE_BYTES = 128 * 1024 * 1024;
const RECONNECT_MS = { first: 100, longest: 1000 };

/**
 * Options for every client connection. The SDK sets its message limit under a name that gRPC does not know, so that
 * a page of history beyond 4 MB fails; a session with long tool output has such pages (SDK 1.24; a test tells when
 * this is no longer needed). And gRPC would wait up to two minutes before it looks for a restarted server again.
 */
export function connectionOptions(address: string): ConnectionOptions {
  return {
    address,
    channelArgs: {
      'grpc.max_receive_message_length': LARGEST_MESSAGE_BYTES,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS.first,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS.longest,
    },
  };
}

/** Connects to the Temporal server at `address`, waiting for it no longer than `timeoutMs`. The caller closes. */
export async function connectTemporal(address: string, timeoutMs = 10_000): Promise<Connection> {
  const connection = Connection.lazy({ ...connectionOptions(address), connectTimeout: timeoutMs });
  try {
    await connection.ensureConnected();
    return connection;
  } catch (error) {
    await connection.close();
    throw new Error(`Temporal does not answer at ${address}`, { cause: error });
  }
}
