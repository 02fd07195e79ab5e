//! The protobuf of `sluicegate.v1` and of the Envoy services that Sluicegate answers: messages,
//! clients and servers, generated when the crate is built.

/// The native protocol: `sluicegate.v1`.
pub mod v1 {
    pub use crate::generated::sluicegate::v1::*;
}

/// The protocol of Envoy's external authorization filter, v3, and what its messages consist of.
pub mod ext_authz {
    pub use crate::generated::envoy::config::core::v3 as core;
    pub use crate::generated::envoy::service::auth::v3::*;
    pub use crate::generated::envoy::r#type::v3 as types;
    pub use crate::generated::google::rpc;
}

/// Every file of the services above as an encoded `FileDescriptorSet`: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::too_many_lines,
    reason = "generated code: which of these fire depends on the generator"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::{FILE_DESCRIPTOR_SET, v1};

    #[test]
    fn the_descriptor_set_holds_both_services() {
        let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let services: Vec<String> = set
            .file
            .iter()
            .flat_map(|f| f.service.iter().map(|s| format!("{}.{}", f.package(), s.name())))
            .collect();
        assert!(services.contains(&"sluicegate.v1.Sluicegate".to_owned()), "{services:?}");
        let authorization = "envoy.service.auth.v3.Authorization".to_owned();
        assert!(services.contains(&authorization), "{services:?}");
    }

    #[test]
    fn never_is_not_a_wait_of_nothing() {
        let never = v1::RetryAfter { wait: Some(v1::retry_after::Wait::Never(true)) };
        let bytes = never.encode_to_vec();
        assert_eq!(v1::RetryAfter::decode(bytes.as_slice()).unwrap(), never);
        assert_ne!(bytes, v1::RetryAfter::default().encode_to_vec());
    }
}
