// Removes from Storage the files of purged messages and of exports whose time is over. The database
// says which; what is gone from Storage it names no more. Call it from any scheduler, with the secret
// key as apikey: doing it twice, or at once, does no harm, and what fails is tried again by the next
// call.

import { call, isService, rpc, type Settings } from "../_shared/backend.ts";

const BATCH = 100;
const SECONDS = 50;

export interface Outcome {
  removed: number;
  has_more: boolean;
}

/** Removes what is named; returns how many the backend is rid of. */
type Removal = (settings: Settings, paths: string[]) => Promise<number>;

async function removeAttachments(
  settings: Settings,
  paths: string[],
): Promise<number> {
  await remove(settings, "chat-attachments", paths);
  // The database looks for itself what is gone: a file that is there stays in the queue.
  return await rpc(settings, "forget_purged_files", { paths }) as number;
}

async function removeExports(
  settings: Settings,
  paths: string[],
): Promise<number> {
  return (await remove(settings, "chat-exports", paths)).length;
}

function remove(
  settings: Settings,
  bucket: string,
  paths: string[],
): Promise<unknown[]> {
  return call(settings, "DELETE", `/storage/v1/object/${bucket}`, {
    prefixes: paths,
  }) as Promise<unknown[]>;
}

/** Works off one list until it is empty, nothing more can be removed, or the time is over. */
async function workOff(
  settings: Settings,
  list: string,
  removal: Removal,
  end: number,
): Promise<Outcome> {
  let removed = 0;
  while (Date.now() < end) {
    const paths = await rpc(settings, list, { max_count: BATCH }) as string[];
    if (paths.length === 0) return { removed, has_more: false };
    const gone = await removal(settings, paths);
    removed += gone;
    if (gone === 0) break;
  }
  return { removed, has_more: true };
}

/** Files of messages first, then those of exports. */
export async function purge(settings: Settings): Promise<Outcome> {
  const end = Date.now() + SECONDS * 1000;
  const messages = await workOff(
    settings,
    "list_purged_files",
    removeAttachments,
    end,
  );
  const exports = await workOff(
    settings,
    "list_unclaimed_export_files",
    removeExports,
    end,
  );
  return {
    removed: messages.removed + exports.removed,
    has_more: messages.has_more || exports.has_more,
  };
}

export async function handle(
  request: Request,
  settings: Settings,
): Promise<Response> {
  const answer = (status: number, body: unknown) =>
    Response.json(body, { status });
  if (request.method !== "POST") {
    return answer(405, { code: "method_not_allowed", message: "Use POST." });
  }
  if (!await isService(request, settings)) {
    return answer(401, {
      code: "secret_key_required",
      message: "Only who has the secret key can do this.",
    });
  }
  try {
    return answer(200, await purge(settings));
  } catch (error) {
    console.error(error);
    return answer(502, {
      code: "not_purged",
      message: "Some files were not removed; the next call tries again.",
    });
  }
}
