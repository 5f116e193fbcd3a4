//! What a systemd says, for tests that play one over a socket pair.

use crate::body::{Body, Signed};
use crate::message::{
    ERROR, FIELD_ERROR_NAME, FIELD_INTERFACE, FIELD_MEMBER, FIELD_PATH, FIELD_REPLY_SERIAL,
    FIELD_SIGNATURE, METHOD_RETURN, SIGNAL, encode, field,
};
use crate::{MANAGER, MANAGER_INTERFACE, SYSTEMD};

const FIELD_SENDER: u8 = 7;
/// No reply is expected.
const FLAGS: u8 = 1;
const SERIAL: u32 = 77;

fn reply_to(fields: &mut Body, serial: u32) {
    fields.align(8);
    fields.byte(FIELD_REPLY_SERIAL);
    fields.signature("u");
    fields.u32(serial);
}

/// The success of a call, with its results.
pub fn returned(serial: u32, results: &Signed) -> Vec<u8> {
    let fields = |fields: &mut Body| {
        reply_to(fields, serial);
        if !results.signature.is_empty() {
            field(fields, FIELD_SIGNATURE, "g", &results.signature);
        }
    };
    encode(METHOD_RETURN, FLAGS, SERIAL, fields, &results.bytes)
}

/// The success of a call, with the path of the job it made.
pub fn reply(serial: u32, job: Option<&str>) -> Vec<u8> {
    let mut body = Body::default();
    if let Some(job) = job {
        body.string(job);
    }
    returned(serial, &body.signed(job.map_or("", |_| "o")))
}

/// The refusal of a call.
pub fn error(serial: u32, name: &str, text: &str) -> Vec<u8> {
    let fields = |fields: &mut Body| {
        reply_to(fields, serial);
        field(fields, FIELD_ERROR_NAME, "s", name);
        field(fields, FIELD_SIGNATURE, "g", "s");
    };
    encode(
        ERROR,
        FLAGS,
        SERIAL,
        fields,
        Signed::strings(&[text]).bytes(),
    )
}

/// `JobRemoved` as systemd 257 sends it on its private socket: with a sender that is no unique name.
pub fn job_removed(job: &str, unit: &str, result: &str) -> Vec<u8> {
    let mut body = Body::default();
    body.u32(5);
    for text in [job, unit, result] {
        body.string(text);
    }
    let fields = |fields: &mut Body| {
        field(fields, FIELD_PATH, "o", MANAGER);
        field(fields, FIELD_INTERFACE, "s", MANAGER_INTERFACE);
        field(fields, FIELD_MEMBER, "s", "JobRemoved");
        field(fields, FIELD_SENDER, "s", SYSTEMD);
        field(fields, FIELD_SIGNATURE, "g", "uoss");
    };
    encode(SIGNAL, FLAGS, SERIAL, fields, &body.bytes)
}
