//! The messages of `containerd.services.{containers,images,content}.v1` that are exchanged, with the fields that are
//! used (`api/services` and `api/types/descriptor.proto`, containerd 2.4; the same since 1.0).

/// `GetContainerRequest`, `GetImageRequest`: both name what is wanted in field 1.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `GetContainerResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) container: Option<Container>,
}

/// `Container`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Container {
    /// The image's name in containerd's store; empty for a container made from a directory.
    #[prost(string, tag = "3")]
    pub(crate) image: String,
}

/// `GetImageResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

/// `Image`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Image {
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Target>,
}

/// `containerd.types.Descriptor`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Target {
    #[prost(string, tag = "1")]
    pub(crate) media_type: String,
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
}

/// `ReadContentRequest`; a size of 0 means all of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ReadContentRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
}

/// `ReadContentResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ReadContentResponse {
    #[prost(int64, tag = "1")]
    pub(crate) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) data: Vec<u8>,
}
