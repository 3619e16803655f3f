// A flow of the unmodified supabase-js against a stack's Storage; prints what it saw as one JSON
// object. Arguments: API address, key, token of a user, a private bucket where that user may do
// everything, and one that is public.

import { createClient } from "@supabase/supabase-js";

const [url, key, token, bucket, open] = process.argv.slice(2);
const client = createClient(url, key, { accessToken: async () => token });
const nobody = createClient(url, key);
const files = client.storage.from(bucket);

const done = ({ data, error }) => {
  if (error) throw error;
  return data;
};
const refused = ({ error }) => [error?.statusCode, error?.code ?? null, error?.message];

const result = {};
const blob = new Blob(["from a blob"], { type: "text/plain;charset=utf-8" });
const form = new FormData();
form.append("", new Blob(["from a form"]));
result.uploads = [
  done(await files.upload("a/blob.txt", blob, { metadata: { k: "v" } })).fullPath,
  done(await files.upload("a/buffer", new TextEncoder().encode("from a buffer").buffer)).path,
  done(await files.upload("a/text", "from a text", { contentType: "a/b" })).path,
  done(await files.upload("a/form", form)).path,
  done(await files.update("a/text", "anew", { contentType: "a/b", cacheControl: "60" })).path,
];
result.duplicate = refused(await files.upload("a/blob.txt", blob));
result.upserted = done(await files.upload("a/blob.txt", blob, { upsert: true })).path;
result.contents = [];
for (const name of ["a/blob.txt", "a/buffer", "a/text", "a/form"]) {
  const got = done(await files.download(name));
  result.contents.push([await got.text(), got.type]);
}
result.info = done(await files.info("a/blob.txt"));
result.exists = [(await files.exists("a/text")).data, (await files.exists("nope")).data];
result.missing = refused(await files.download("nope"));
result.hidden = refused(await nobody.storage.from(bucket).download("a/text"));
result.list = done(await files.list("a")).map((entry) => entry.name);
result.folders = done(await files.list()).map((entry) => [entry.name, entry.id]);
const page = done(await files.listV2({ with_delimiter: true, limit: 10 }));
result.listV2 = [page.hasNext, page.folders.map((f) => f.name), page.objects.length];

const signed = done(await files.createSignedUrl("a/blob.txt", 60, { download: "name.txt" }));
const opened = await fetch(signed.signedUrl);
result.signed = [await opened.text(), opened.headers.get("content-disposition")];
const many = done(await files.createSignedUrls(["a/text", "nope"], 60));
result.many = [many.map((entry) => entry.error), await (await fetch(many[0].signedUrl)).text()];
const upload = done(await files.createSignedUploadUrl("signed.txt"));
done(await nobody.storage.from(bucket).uploadToSignedUrl(upload.path, upload.token, blob));
result.signedUpload = await done(await files.download("signed.txt")).text();

done(await files.move("a/text", "moved"));
result.copied = done(await files.copy("moved", "copied")).path;
result.removed = done(await files.remove(["moved", "nope"])).map((row) => row.name);
result.invalid = refused(await files.upload("ü", blob));

const address = nobody.storage.from(open).getPublicUrl("hello.txt", { download: true });
result.public = await (await fetch(address.data.publicUrl)).text();
console.log(JSON.stringify(result));
process.exit(0);
