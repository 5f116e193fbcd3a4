//! An HTTP component that does what the path says.
//!
//! | path | answer |
//! |---|---|
//! | `/echo` | the request's body |
//! | `/sleep/<ms>` | after so long: `slept <ms>` |
//! | `/log/<text>` | writes `out <text>` to stdout and `err <text>` to stderr: `logged` |
//! | `/env/<name>` | the variable's value, or 404 |
//! | `/env` | how many variables there are |
//! | `/file/<path>` | the text of a file, or 404 with the reason |
//! | `/bytes/<n>` | so many bytes |
//! | `/trap` | none: it traps |
//! | anything else | `<method> <path>` |

use std::{env, fs};

use wstd::http::{Body, Error, Request, Response, StatusCode};
use wstd::task::sleep;
use wstd::time::Duration;

/// Most bytes `/bytes` gives.
const MOST_BYTES: usize = 64 << 20;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    let (head, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match head {
        "echo" => Ok(Response::new(request.into_body())),
        "sleep" => {
            let Ok(millis) = rest.parse() else {
                return bad_request("/sleep/<ms> wants a number");
            };
            sleep(Duration::from_millis(millis)).await;
            text(format!("slept {millis}\n"))
        }
        "log" => {
            println!("out {rest}");
            eprintln!("err {rest}");
            text("logged\n".to_owned())
        }
        "env" if rest.is_empty() => text(format!("{}\n", env::vars().count())),
        "env" => match env::var(rest) {
            Ok(value) => text(format!("{value}\n")),
            Err(error) => answer(StatusCode::NOT_FOUND, format!("{rest}: {error}\n")),
        },
        "file" => match fs::read_to_string(format!("/{rest}")) {
            Ok(content) => text(content),
            Err(error) => answer(StatusCode::NOT_FOUND, format!("/{rest}: {error}\n")),
        },
        "bytes" => match rest.parse::<usize>() {
            Ok(count) if count <= MOST_BYTES => Ok(Response::new(vec![b'x'; count].into())),
            _ => bad_request("/bytes/<n> wants a number of at most 64 Mi"),
        },
        "trap" => {
            println!("about to trap");
            core::arch::wasm32::unreachable()
        }
        _ => text(format!("{} {path}\n", request.method())),
    }
}

fn text(body: String) -> Result<Response<Body>, Error> {
    answer(StatusCode::OK, body)
}

fn bad_request(sentence: &str) -> Result<Response<Body>, Error> {
    answer(StatusCode::BAD_REQUEST, format!("{sentence}\n"))
}

fn answer(status: StatusCode, body: String) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).body(body.into())?)
}
