/** Runs the cases of grpc-go's interoperability client, a process each. */
import { Child, findExecutable } from '../../support/process.ts';

/**
 * What the client has without credentials (they need TLS and Google's accounts) and without the load reports of xDS (orca_…).
 * Of gRPC's list it has no case with compression: client_compressed_unary and client_compressed_streaming expect a server that
 * refuses what is not compressed as announced, which no handler of ours can see, and server_compressed_unary and
 * server_compressed_streaming one that compresses, which we do not.
 */
export const interopCases: readonly string[] = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'custom_metadata',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
  'pick_first_unary',
  'rpc_soak',
  'channel_soak',
];

/** The soak cases count what goes well; how fast it was is not asked here. */
const soakFlags = [
  '--soak_iterations=20',
  '--soak_num_threads=4',
  '--soak_per_iteration_max_acceptable_latency_ms=60000',
  '--soak_overall_timeout_seconds=120',
];

/** Code 0: the case passed. Otherwise the output says what the client expected and what it got. */
export interface InteropResult {
  readonly code: number | null;
  readonly output: string;
}

export function findInteropClient(): string | undefined {
  return findExecutable('grpc-interop-client');
}

/** `authority`: the file with the certificate of who signed the server's; undefined: no TLS. */
export async function interop(testCase: string, port: number, authority: string | undefined): Promise<InteropResult> {
  const flags = [`--test_case=${testCase}`, '--server_host=127.0.0.1', `--server_port=${port}`, ...soakFlags];
  if (authority !== undefined) flags.push('--use_tls', '--use_test_ca', `--ca_file=${authority}`);
  const env = { ...process.env, GRPC_GO_LOG_SEVERITY_LEVEL: 'info' };
  const child = new Child(findInteropClient() ?? 'grpc-interop-client', flags, { env });
  const { code } = await child.exited;
  return { code, output: child.output };
}
