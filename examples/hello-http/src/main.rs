//! A component that answers HTTP: it says hello and which path was asked for.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new(
        format!(
            "Hello from WebAssembly! You asked for {}\n",
            request.uri().path()
        )
        .into(),
    ))
}
