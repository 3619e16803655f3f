// A flow of the unmodified supabase-js against a stack; prints what it saw as one JSON object.
// Arguments: API address, publishable key, token of a user, a topic that user may read and send to.

import { createClient } from "@supabase/supabase-js";

const [url, key, token, topic] = process.argv.slice(2);
const DEADLINE_MS = 10_000;

function within(promise, what) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not in time: ${what}`)), DEADLINE_MS).unref();
  });
  return Promise.race([promise, late]);
}

function subscribed(channel) {
  return within(
    new Promise((resolve, reject) => {
      channel.subscribe((status, error) => {
        if (status === "SUBSCRIBED") resolve(status);
        else if (status !== "CLOSED") reject(error ?? new Error(status));
      });
    }),
    "subscription",
  );
}

async function flow(vsn, topic) {
  const client = createClient(url, key, {
    realtime: { vsn, heartbeatIntervalMs: 500 },
    accessToken: async () => token,
  });
  const received = [];
  let wake = () => {};
  const channel = client
    .channel(topic, { config: { private: true, broadcast: { self: true, ack: true } } })
    .on("broadcast", { event: "*" }, ({ event, payload, meta }) => {
      const body =
        payload instanceof ArrayBuffer ? { bytes: [...new Uint8Array(payload)] } : payload;
      received.push({ event, payload: body, hasMeta: meta !== undefined });
      wake();
    });
  const count = (n) =>
    within(
      new Promise((resolve) => {
        wake = () => received.length >= n && resolve();
        wake();
      }),
      `event ${n} of ${vsn}, after ${JSON.stringify(received)}`,
    );

  const unjoined = await client.channel(`${topic}-unjoined`).httpSend("http", { a: 0 });
  await subscribed(channel);
  const sent = await channel.send({ type: "broadcast", event: "socket", payload: { a: 1 } });
  await count(1);
  const posted = await channel.httpSend("http", { a: 2 });
  await count(2);
  let binary = null;
  if (vsn === "2.0.0") {
    const bytes = new Uint8Array([0, 255]);
    binary = await channel.httpSend("binary", bytes.buffer);
    await count(3);
  }
  const left = await client.removeChannel(channel);
  await client.realtime.disconnect();
  return { unjoined, sent, posted, binary, left, received };
}

const result = {};
for (const vsn of ["1.0.0", "2.0.0"]) result[vsn] = await flow(vsn, topic);
console.log(JSON.stringify(result));
process.exit(0);
