//! What a container sees of others: nothing.

use std::fs;

use serde_json::json;

use crate::fixture::{World, event, json};

const SECRET: &str = "secret-of-function-a-7f3e";

/// Looks for the secret in every file that it can open and in every page of memory that it has.
const SEARCH: &str = r#"
import os
def handler(event, context):
    # In two halves, so that the whole is not in this process's own memory.
    first, second = (half.encode() for half in event)
    def has(content):
        at = content.find(first)
        while at >= 0:
            if content.startswith(second, at + len(first)): return True
            at = content.find(first, at + 1)
        return False
    found, files = [], 0
    for place, folders, names in os.walk("/", followlinks=False):
        if place.startswith("/proc"): folders[:] = []; continue
        for name in names:
            path = os.path.join(place, name)
            try:
                if not os.path.isfile(path): continue
                with open(path, "rb") as file:
                    files += 1
                    if has(file.read()): found.append(path)
            except OSError: pass
    return {"found": found, "files": files}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_code_of_one_function_is_readable_from_another_in_any_state() {
    let world = World::new().await;
    let code = format!("SECRET = '{SECRET}'\ndef handler(e, c):\n    return SECRET\n");
    let before = world.warm("python3").await;
    let owner = world.function("python3", &[("handler.py", &code)]).await;
    assert_eq!(json(owner.invoke(event("one", "1")).await), json!(SECRET));
    let after = world.warm("python3").await;
    let other = world.function("python3", &[("handler.py", SEARCH)]).await;
    // From outside, where nothing can hide: every file below each container's root, and all of its memory.
    for (state, container) in [("warm before", &before), ("warm after", &after), ("idle", &other)] {
        nothing_in(container.pid(), state);
    }
    let halves = json!(SECRET.split_at(10)).to_string();
    let (answer, ()) = tokio::join!(other.invoke(event("one", &halves)), async {
        let pid = other.pid();
        tokio::task::spawn_blocking(move || nothing_in(pid, "busy")).await.unwrap();
    });
    let answer = json(answer);
    assert_eq!(answer["found"], json!([]), "{answer}");
    assert!(answer["files"].as_u64().unwrap() > 1_000, "{answer}");
    nothing_in(other.pid(), "idle again");
    assert!(memory_has(owner.pid()), "the search finds what is there");
    let (_, found) = search(format!("/proc/{}/root/var/task", owner.pid()).as_ref());
    assert_eq!(found.len(), 1);
    for container in [before, owner, after, other] {
        container.remove().await;
    }
    assert_eq!(world.left(), [""; 0]);
}

fn nothing_in(pid: u32, state: &str) {
    let root = format!("/proc/{pid}/root");
    let (files, found) = search(root.as_ref());
    assert!(files > 1_000 && found.is_empty(), "{state}: {files} files, {found:?}");
    assert!(!memory_has(pid), "{state}: in its memory");
}

/// How many files there are, and which have the secret.
fn search(directory: &std::path::Path) -> (usize, Vec<String>) {
    let (mut files, mut found) = (0, Vec::new());
    let Ok(entries) = fs::read_dir(directory) else { return (0, found) };
    for entry in entries.filter_map(Result::ok) {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && !["proc", "sys"].contains(&entry.file_name().to_str().unwrap_or_default()) {
            let (more, others) = search(&path);
            files += more;
            found.extend(others);
        // A device can be mounted over what its directory calls a file.
        } else if fs::symlink_metadata(&path).is_ok_and(|known| known.is_file()) {
            files += 1;
            if fs::read(&path).is_ok_and(|content| has(&content)) {
                found.push(path.display().to_string());
            }
        }
    }
    (files, found)
}

fn memory_has(pid: u32) -> bool {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines().any(|line| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut content = vec![0; (to - from) as usize];
        memory.read_at(&mut content, from).is_ok_and(|read| has(&content[..read]))
    })
}

fn has(content: &[u8]) -> bool {
    memchr::memmem::find(content, SECRET.as_bytes()).is_some()
}
