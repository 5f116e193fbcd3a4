//! A component of WASI 0.2 that answers HTTP requests.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let answer = format!("wstd answers {}\n", request.uri().path());
    Ok(Response::new(answer.into()))
}
