//! What containers can be made of, and by what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{Language, Oci, OpenError, Rootfs, Runtime};
use serde_json::{Value, json};

use crate::fixture::{World, event, json, names};

/// Says what root it is in, and what it may not.
const ROOT: &str = "def handler(event, context):\n    try:\n        open('/new', 'w')\n    except OSError as error:\n        return [open('/marker').read(), error.strerror]\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_image_and_a_directory_are_roots_too() {
    let around = tempfile::tempdir().unwrap();
    // What the host's own files make is a root that works, and so is a copy of it.
    let view = {
        let world = World::new().await;
        world.warm("python3").await.remove().await;
        let roots = world.settings.data.join("rootfs");
        let name = names(&roots).into_iter().find(|name| name.starts_with("python3-")).unwrap();
        roots.join(name)
    };
    let directory = around.path().join("root");
    run(Command::new("cp").arg("-a").arg(view).arg(&directory));
    fs::write(directory.join("marker"), "it is ours").unwrap();
    let layout = around.path().join("image");
    image(&directory, &layout);
    let roots = [Rootfs::Directory(directory), Rootfs::Image { layout, tag: None }];
    for (number, rootfs) in roots.into_iter().enumerate() {
        let name = format!("own-{number}");
        let runtime = Runtime { name: name.clone(), language: Language::Python3, rootfs };
        let world = World::open(Oci::Embedded, vec![runtime]).await.unwrap();
        let container = world.function(&name, &[("handler.py", ROOT)]).await;
        let answer = json(container.invoke(event("one", "1")).await);
        assert_eq!(answer, json!(["it is ours", "Read-only file system"]), "{name}");
        container.remove().await;
        assert_eq!(world.left(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_cannot_make_our_containers_are_refused() {
    for program in ["runsc", "/usr/local/bin/runsc", "no-such-runtime", "/no/such/runtime"] {
        let refused = World::open(Oci::Program(program.into()), vec![]).await.map(drop).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Oci { program: named, .. } if named == Path::new(program)),
            "{refused}"
        );
    }
}

/// Makes an OCI image layout of one layer.
fn image(root: &Path, layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let layer = layout.join("layer.tar");
    run(Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&layer).arg("."));
    let blob = |file: PathBuf, media_type: &str| -> Value {
        let digest = run(Command::new("sha256sum").arg(&file));
        let digest = digest.split_whitespace().next().unwrap().to_owned();
        let size = fs::metadata(&file).unwrap().len();
        fs::rename(file, blobs.join(&digest)).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{media_type}"), "digest": format!("sha256:{digest}"), "size": size})
    };
    let written = |name: &str, content: &Value| {
        fs::write(layout.join(name), content.to_string()).unwrap();
        layout.join(name)
    };
    let layer = blob(layer, "layer.v1.tar");
    let diff_id = layer["digest"].clone();
    let rootfs = json!({"type": "layers", "diff_ids": [diff_id]});
    let (os, architecture) = ("linux", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let config = written("config", &json!({"os": os, "architecture": architecture, "rootfs": rootfs}));
    let config = blob(config, "config.v1+json");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let manifest = blob(written("manifest", &manifest), "manifest.v1+json");
    written("index.json", &json!({"schemaVersion": 2, "manifests": [manifest]}));
    written("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
