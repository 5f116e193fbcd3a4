//! A component of WASI 0.3 that answers HTTP requests.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn hello(request: Request) -> impl IntoResponse {
    format!("spin-sdk 7 answers {}\n", request.uri().path())
}
