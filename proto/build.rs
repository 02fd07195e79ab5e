//! Generates the messages, clients and servers from the `.proto` files, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=vendor");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = ["sluicegate/v1/sluicegate.proto", "envoy/service/auth/v3/external_auth.proto"];
    let mut set = protox::compile(files, ["proto", "vendor"])?;
    // Comments of other projects are not ours to publish, and rustdoc would run their examples.
    for file in &mut set.file {
        if file.package() != "sluicegate.v1" {
            file.source_code_info = None;
        }
    }
    fs::write(out.join("descriptors.bin"), without_comments(set.clone()).encode_to_vec())?;
    tonic_prost_build::configure().include_file("mod.rs").bytes(".").compile_fds(set)?;
    Ok(())
}

/// What reflection serves: shapes, not prose.
fn without_comments(mut set: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}
