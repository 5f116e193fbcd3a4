//! A core module that carries the type of a component, as Spin's SDK builds it for wasm32-wasip1.

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;

#[http_component]
fn hello(request: Request) -> anyhow::Result<impl IntoResponse> {
    let answer = format!("spin-sdk 3 answers {}\n", request.path());
    Ok(Response::new(200, answer))
}
