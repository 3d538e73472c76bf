/** `fetch` for a server whose certificate is from an authority of ours: Node's own takes no authority. */
import https from 'node:https';

export function httpsFetch(url: string, method: string, authority: Buffer): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, ca: authority, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        const headers = Object.entries(answer.headersDistinct).flatMap(([name, values = []]) =>
          values.map((value): [string, string] => [name, value]),
        );
        resolve(new Response(Buffer.concat(pieces), { status: answer.statusCode ?? 0, headers }));
      });
    });
    request.on('error', reject);
    request.end();
  });
}
