// Prints each event once, reports conflicts and gaps: docs/wire-format.md in few lines.
//
//     node receiver.mjs mqtt://HOST[:PORT]      needs the npm package "mqtt"
//
// JSON.parse rounds numbers from 2^53 on: read seq as text if a stream of yours can get there.
import mqtt from "mqtt";

class Stream {
  constructor(baseline) {
    this.baseline = baseline;
    this.covered = []; // ranges [first, end) of numbers, sorted
    this.recent = new Map(); // number -> text, of the last 4096 events
  }

  take(event) {
    let first = event.seq;
    let end = first + Math.max(1, event.lost ?? 0);
    const text = JSON.stringify(event);
    if (this.covered.some(([a, b]) => a <= first && end <= b)) {
      const before = this.recent.get(first) ?? text;
      return event.lost === undefined && before !== text ? "conflict" : "repeat";
    }
    if (event.lost === undefined) {
      this.recent.set(first, text);
      if (this.recent.size > 4096) this.recent.delete(this.recent.keys().next().value);
    }
    const touches = ([a, b]) => a <= end && first <= b;
    const touching = this.covered.filter(touches);
    const merged = [Math.min(first, ...touching.map((r) => r[0])), Math.max(end, ...touching.map((r) => r[1]))];
    this.covered = [...this.covered.filter((r) => !touches(r)), merged].sort((x, y) => x[0] - y[0]);
    return "new";
  }

  gaps() {
    return this.covered.slice(1).map(([first], i) => [Math.max(this.covered[i][1], this.baseline), first])
      .filter(([, first]) => first > this.baseline);
  }
}

const streams = new Map();
let conflicts = 0;
// clean: false makes the broker keep what comes while we are away.
const client = mqtt.connect(process.argv[2], { clientId: "receiver-mjs", clean: false });
client.on("connect", () => client.subscribe("penstock/+/data/#", { qos: 1 }));
client.on("message", (topic, payload) => {
  for (const event of JSON.parse(payload)) {
    const key = [event.device, event.stream, event.epoch].join(" ");
    if (!streams.has(key)) streams.set(key, new Stream(event.seq));
    const verdict = streams.get(key).take(event);
    if (verdict === "new") console.log(JSON.stringify(event));
    if (verdict === "conflict") console.error("conflict:", key, event.seq, ++conflicts);
  }
});
const finish = () => {
  const gaps = [...streams].flatMap(([key, stream]) => stream.gaps().map(([a, b]) => `gap: ${key} ${a}..${b - 1}`));
  for (const gap of gaps) console.error(gap);
  client.end(false, () => process.exit(gaps.length || conflicts ? 1 : 0));
};
process.on("SIGINT", finish).on("SIGTERM", finish);
