// Decodes one base64 line of CBOR after the other; prints each as JSON.
import { createInterface } from 'node:readline';
import { decode } from 'cborg';

for await (const line of createInterface({ input: process.stdin })) {
  const whole = (name, value) => (typeof value === 'bigint' ? Number(value) : value);
  console.log(JSON.stringify(decode(Buffer.from(line, 'base64')), whole));
}
