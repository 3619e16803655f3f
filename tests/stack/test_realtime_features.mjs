// Presence, changes of tables and replay with the unmodified supabase-js; prints what it saw as
// one JSON object. Arguments: API address, publishable key, token of a user, a topic that user may
// read and send to with one broadcast to replay, and a published table.

import { createClient } from "@supabase/supabase-js";

const [url, key, token, topic, table] = process.argv.slice(2);
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

// Events by name, and a way to wait for one.
function recorder() {
  const seen = [];
  let wake = () => {};
  const record = (name, value) => {
    seen.push([name, value]);
    wake();
  };
  const until = (test, what) =>
    within(
      new Promise((resolve) => {
        wake = () => test(seen) && resolve(seen.find(([name]) => name === what)?.[1]);
        wake();
      }),
      `${what} after ${JSON.stringify(seen)}`,
    );
  return { record, seen, until, first: (name) => until((s) => s.some(([n]) => n === name), name) };
}

// As the documentation asks before private channels.
async function connect(vsn) {
  const client = createClient(url, key, { realtime: { vsn }, accessToken: async () => token });
  await client.realtime.setAuth();
  return client;
}

async function presence(vsn) {
  const clients = [await connect(vsn), await connect(vsn)];
  const [one, two] = clients.map((client, index) =>
    client.channel(`${topic}-${vsn}`, { config: { private: true, presence: { key: `k${index}` } } }),
  );
  const log = recorder();
  const metas = (list) => list.map(({ presence_ref, ...rest }) => rest);
  one
    .on("presence", { event: "join" }, ({ key, newPresences }) => log.record(`join ${key}`, metas(newPresences)))
    .on("presence", { event: "leave" }, ({ key, leftPresences }) => log.record(`leave ${key}`, metas(leftPresences)))
    .on("presence", { event: "sync" }, () => log.record("sync", one.presenceState()));
  two.on("presence", { event: "sync" }, () => {});
  await subscribed(one);
  await subscribed(two);
  const tracked = await two.track({ name: "Ann" });
  const joined = await log.first("join k1");
  const state = Object.keys(one.presenceState());
  const untracked = await two.untrack();
  const left = await log.first("leave k1");
  const after = Object.keys(one.presenceState());
  for (const client of clients) await client.removeAllChannels();
  return { tracked, joined, state, untracked, left, after };
}

async function changes(vsn) {
  const client = await connect(vsn);
  const log = recorder();
  const channel = client.channel(`changes-${vsn}`);
  const base = { schema: "public", table };
  channel
    .on("postgres_changes", { event: "*", ...base }, (payload) => log.record(payload.eventType, payload))
    .on("postgres_changes", { event: "INSERT", ...base, filter: "id=eq.1" }, (payload) => log.record("filtered", payload))
    .on("system", {}, (payload) => log.record(`system ${payload.status}`, payload.message));
  await subscribed(channel);
  const system = await log.first("system ok");
  const rest = client.from(table);
  await rest.insert({ id: 1, body: "a" }).throwOnError();
  await log.first("filtered");
  await rest.update({ body: "b" }).eq("id", 1).throwOnError();
  await log.first("UPDATE");
  await client.from(table).delete().eq("id", 1).throwOnError();
  await log.first("DELETE");
  await client.removeAllChannels();
  const rows = log.seen
    .filter(([name]) => !name.startsWith("system"))
    .map(([name, payload]) => [name, payload.new, payload.old, payload.errors]);
  return { system, rows };
}

async function replay(vsn) {
  const client = await connect(vsn);
  const log = recorder();
  const config = { private: true, broadcast: { replay: { since: 0, limit: 5 } } };
  const channel = client
    .channel(topic, { config })
    .on("broadcast", { event: "*" }, ({ event, payload, meta }) =>
      log.record("broadcast", { event, payload, replayed: meta?.replayed }),
    );
  await subscribed(channel);
  const found = await log.first("broadcast");
  await client.removeAllChannels();
  return found;
}

const result = {};
for (const vsn of ["1.0.0", "2.0.0"]) {
  result[vsn] = {
    presence: await presence(vsn),
    changes: await changes(vsn),
    replay: await replay(vsn),
  };
}
console.log(JSON.stringify(result));
process.exit(0);
