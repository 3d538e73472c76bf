/** A kube-apiserver without anything else of a cluster: no controllers, no nodes. And kubectl as its administrator. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { Child, eventually, findExecutable, freePorts, temporaryDirectory } from '../../support/process.ts';

const readyTimeoutMs = 180_000;
const requestTimeoutMs = 60_000;

export interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

function requireExecutable(name: string): string {
  const found = findExecutable(name);
  if (!found) throw new Error(`${name} is neither in build/bin nor on PATH`);
  return found;
}

export class ApiServer {
  readonly child: Child;
  readonly #directory: string;
  readonly #url: string;
  readonly #token: string;
  /** Its certificate is self-signed. */
  readonly #agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });

  private constructor(child: Child, directory: string, url: string, token: string) {
    this.child = child;
    this.#directory = directory;
    this.#url = url;
    this.#token = token;
  }

  static async start(etcdUrl: string, flags: readonly string[] = []): Promise<ApiServer> {
    const [port] = (await freePorts(1)) as [number];
    const directory = temporaryDirectory('apiserver');
    const token = randomBytes(16).toString('hex');
    const file = (name: string, content: string): string => {
      const full = path.join(directory, name);
      fs.writeFileSync(full, content, { mode: 0o600 });
      return full;
    };
    const keys = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    const child = new Child(requireExecutable('kube-apiserver'), [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${path.join(directory, 'certificates')}`,
      `--token-auth-file=${file('tokens.csv', `${token},admin,admin,system:masters\n`)}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('service-account.pub', keys.publicKey)}`,
      `--service-account-signing-key-file=${file('service-account.key', keys.privateKey)}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--endpoint-reconciler-type=none',
      '--authorization-mode=RBAC',
      ...flags,
    ]);
    return new ApiServer(child, directory, `https://127.0.0.1:${port}`, token);
  }

  /** Waits until /readyz says so. */
  async ready(): Promise<void> {
    const attempt = async (): Promise<void> => {
      const reply = await this.request('GET', '/readyz?verbose');
      if (reply.status !== 200) throw new Error(`/readyz: ${reply.status} ${reply.body}`);
    };
    await eventually(attempt, this.child, readyTimeoutMs);
  }

  request(method: string, resource: string, body?: unknown): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const request = https.request(
        `${this.#url}${resource}`,
        {
          method,
          agent: this.#agent,
          timeout: requestTimeoutMs,
          headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
          );
          response.on('error', reject);
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer within ${requestTimeoutMs} ms`)));
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** As `request`, but throws unless the answer is a success. */
  async json<T>(method: string, resource: string, body?: unknown): Promise<T> {
    const reply = await this.request(method, resource, body);
    if (reply.status >= 300) throw new Error(`${method} ${resource}: ${reply.status} ${reply.body.slice(0, 500)}`);
    return JSON.parse(reply.body) as T;
  }

  #kubectlArgs(args: readonly string[]): string[] {
    return [
      `--server=${this.#url}`,
      `--token=${this.#token}`,
      '--insecure-skip-tls-verify=true',
      `--cache-dir=${path.join(this.#directory, 'kubectl-cache')}`,
      ...args,
    ];
  }

  /** Never reads the user's own configuration. */
  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: '/dev/null', HOME: this.#directory };
  }

  kubectlOutput(args: readonly string[], stdin = ''): Promise<Output> {
    const child = spawn(requireExecutable('kubectl'), this.#kubectlArgs(args), {
      env: this.#environment,
      timeout: requestTimeoutMs * 2,
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      output.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output.stderr += chunk.toString();
    });
    child.stdin.end(stdin);
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, ...output }));
    });
  }

  /** The standard output of a kubectl that succeeded. */
  async kubectl(args: readonly string[], stdin?: string): Promise<string> {
    const output = await this.kubectlOutput(args, stdin);
    if (output.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${output.code} ${output.stderr}`);
    return output.stdout;
  }

  /** A kubectl that stays, for `get -w`. */
  kubectlChild(args: readonly string[]): Child {
    return new Child(requireExecutable('kubectl'), this.#kubectlArgs(args), { env: this.#environment });
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    await this.child.stop();
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}
