//! Which image of a layout is taken, and what it may be made of.

use serde_json::{Value, json};

use super::forge::{Forge, file, here, tar};
use super::{ImageError, read};
use crate::limits;
use crate::rootfs::image::check;

const ELSEWHERE: &str = "mips";

fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor[key] = value;
    descriptor
}

fn tagged(descriptor: Value, tag: &str) -> Value {
    with(descriptor, "annotations", json!({ "org.opencontainers.image.ref.name": tag }))
}

fn on(descriptor: Value, architecture: &str) -> Value {
    with(descriptor, "platform", json!({ "architecture": architecture, "os": "linux" }))
}

/// A manifest of an image that has nothing but a file `is`.
fn image(forge: &Forge, is: &str, architecture: &str) -> Value {
    let layer = forge.layer(&tar(&[file("is", is)]));
    forge.manifest(&[layer], architecture)
}

fn taken(forge: &Forge, tag: Option<&str>) -> Option<String> {
    check(&forge.layout(), tag).unwrap();
    read(&forge.view(tag).unwrap(), "is")
}

#[test]
fn a_tag_says_which() {
    let mut forge = Forge::new();
    for tag in ["20", "22"] {
        forge.list(tagged(image(&forge, tag, &here()), tag));
    }
    let error = forge.refused(None);
    assert!(matches!(&error, ImageError::TagNeeded { tags } if tags == "20, 22"), "{error}");
    let error = forge.refused(Some("21"));
    assert_eq!(error.to_string(), "it has no image \"21\"; its tags are: 20, 22");
    assert!(check(&forge.layout(), None).is_err());
    assert_eq!(taken(&forge, Some("22")).as_deref(), Some("22"));
    assert_eq!(taken(&forge, Some("20")).as_deref(), Some("20"));
    // The same image by another name.
    let mut forge = Forge::new();
    for tag in ["22", "latest"] {
        forge.list(tagged(image(&forge, "x", &here()), tag));
    }
    assert_eq!(taken(&forge, None).as_deref(), Some("x"));
}

#[test]
fn one_tag_of_two_images_is_refused() {
    let mut forge = Forge::new();
    forge.list(tagged(image(&forge, "1", &here()), "x"));
    forge.list(tagged(image(&forge, "2", &here()), "x"));
    assert!(matches!(forge.refused(Some("x")), ImageError::Ambiguous { .. }));
}

#[test]
fn of_images_for_several_machines_this_machines_is_taken() {
    let attestation = |forge: &Forge| {
        let unknown = json!({ "architecture": "unknown", "os": "unknown" });
        with(image(forge, "attestation", "unknown"), "platform", unknown)
    };
    // Side by side.
    let mut forge = Forge::new();
    for architecture in [ELSEWHERE, &here()] {
        forge.list(on(image(&forge, architecture, architecture), architecture));
    }
    forge.list(attestation(&forge));
    assert_eq!(taken(&forge, None), Some(here()));
    // In an index in an index.
    let mut forge = Forge::new();
    let both = [ELSEWHERE, &here()].map(|it| on(image(&forge, it, it), it));
    let index = forge.index_blob(&[attestation(&forge), both[0].clone(), both[1].clone()]);
    forge.list(tagged(forge.index_blob(&[index]), "all"));
    assert_eq!(taken(&forge, None), Some(here()));
    assert_eq!(taken(&forge, Some("all")), Some(here()));
}

#[test]
fn images_for_other_machines_are_refused() {
    let mut forge = Forge::new();
    forge.list(on(image(&forge, "x", ELSEWHERE), ELSEWHERE));
    let error = forge.refused(None);
    assert!(matches!(&error, ImageError::Platform { offered, .. } if offered == "linux/mips"), "{error}");
    // Only its configuration says so.
    let mut forge = Forge::new();
    forge.list(image(&forge, "x", ELSEWHERE));
    assert!(matches!(forge.refused(None), ImageError::Platform { .. }));
    // Within an index.
    let mut forge = Forge::new();
    let other = on(image(&forge, "x", ELSEWHERE), ELSEWHERE);
    forge.list(forge.index_blob(&[other]));
    assert!(matches!(forge.refused(None), ImageError::Platform { .. }));
    // Another system, and a variant that not every machine has.
    for platform in [
        json!({ "architecture": here(), "os": "windows" }),
        json!({ "architecture": "amd64", "os": "linux", "variant": "v4" }),
    ] {
        let mut forge = Forge::new();
        forge.list(with(image(&forge, "x", &here()), "platform", platform));
        assert!(matches!(forge.refused(None), ImageError::Platform { .. }));
    }
}

#[test]
fn indexes_without_end_are_refused() {
    let mut forge = Forge::new();
    let mut at = image(&forge, "x", &here());
    for _ in 0..limits::IMAGE_INDEXES {
        at = forge.index_blob(&[at]);
    }
    let one_more = forge.index_blob(std::slice::from_ref(&at));
    forge.list(one_more);
    assert!(matches!(forge.refused(None), ImageError::Nested));
    let mut forge_of_most = Forge::new();
    let mut at = image(&forge_of_most, "x", &here());
    for _ in 0..limits::IMAGE_INDEXES {
        at = forge_of_most.index_blob(&[at]);
    }
    forge_of_most.list(at);
    assert_eq!(taken(&forge_of_most, None).as_deref(), Some("x"));
}

#[test]
fn other_compressions_and_artifacts_are_refused() {
    let mut forge = Forge::new();
    let zstd = forge.blob("application/vnd.oci.image.layer.v1.tar+zstd", b"x");
    forge.list(forge.manifest(&[zstd], &here()));
    let error = forge.refused(None).to_string();
    assert!(error.contains("layer.v1.tar+zstd; only tar and tar+gzip"), "{error}");
    let mut forge = Forge::new();
    let config = forge.blob("application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    forge.list(forge.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes()));
    assert!(matches!(forge.refused(None), ImageError::Type { .. }));
    let mut forge = Forge::new();
    let layer = forge.layer(&tar(&[]));
    forge.list(forge.manifest(&vec![layer; limits::IMAGE_LAYERS + 1], &here()));
    assert!(matches!(forge.refused(None), ImageError::Layers { count } if count == limits::IMAGE_LAYERS + 1));
}

#[test]
fn docker_names_mean_the_same() {
    let mut forge = Forge::new();
    let layer = forge
        .blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &super::gzip(&tar(&[file("is", "x")])));
    let config = json!({ "architecture": here(), "os": "linux" }).to_string();
    let config = forge.blob("application/vnd.docker.container.image.v1+json", config.as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let manifest = forge.blob("application/vnd.docker.distribution.manifest.v2+json", manifest.as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [on(manifest, &here())] }).to_string();
    forge.list(forge.blob("application/vnd.docker.distribution.manifest.list.v2+json", index.as_bytes()));
    assert_eq!(taken(&forge, None).as_deref(), Some("x"));
}

#[test]
fn what_is_no_layout_is_refused() {
    let forge = Forge::new();
    assert!(matches!(forge.refused(None), ImageError::Unreadable { file, .. } if file == "index.json"));
    forge.write("index.json", &json!({ "schemaVersion": 2, "manifests": [] }));
    assert!(matches!(forge.refused(None), ImageError::Empty));
    forge.write("index.json", &json!({ "schemaVersion": 2 }));
    assert!(matches!(forge.refused(None), ImageError::Malformed { .. }));
    forge.write("index.json", &json!("x".repeat(limits::IMAGE_DOCUMENT_BYTES as usize)));
    assert!(matches!(forge.refused(None), ImageError::Large { .. }));
    forge.write("oci-layout", &json!({ "imageLayoutVersion": "2.0.0" }));
    assert!(matches!(forge.refused(None), ImageError::Version { version } if version == "2.0.0"));
    std::fs::remove_file(forge.layout().join("oci-layout")).unwrap();
    let error = forge.view(None).unwrap_err().to_string();
    assert!(error.contains("cannot read oci-layout: No such file"), "{error}");
}

#[test]
fn digests_and_sizes_of_documents_are_checked() {
    let other = format!("sha512:{}", "0".repeat(128));
    let mut forge = Forge::new();
    forge.list(with(image(&forge, "x", &here()), "digest", json!(other)));
    assert!(matches!(forge.refused(None), ImageError::Algorithm { .. }));
    let mut forge = Forge::new();
    forge.list(with(image(&forge, "x", &here()), "size", json!(1)));
    assert!(matches!(forge.refused(None), ImageError::Size { declared: 1, .. }));
    let mut forge = Forge::new();
    forge.list(with(image(&forge, "x", &here()), "size", json!(limits::IMAGE_DOCUMENT_BYTES + 1)));
    assert!(matches!(forge.refused(None), ImageError::Large { .. }));
    // A digest is a file's name, so it must not be a path.
    let mut forge = Forge::new();
    forge.list(with(image(&forge, "x", &here()), "digest", json!("sha256:../../../../etc/passwd")));
    assert!(matches!(forge.refused(None), ImageError::Malformed { .. }));
    let mut forge = Forge::new();
    let manifest = image(&forge, "x", &here());
    let path = forge.blob_path(&manifest);
    let changed =
        std::fs::read_to_string(&path).unwrap().replacen("\"schemaVersion\":2", "\"schemaVersion\":3", 1);
    std::fs::write(path, changed).unwrap();
    forge.list(manifest);
    assert!(matches!(forge.refused(None), ImageError::Digest { .. }));
}
