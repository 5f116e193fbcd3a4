;; A wasi:http server that answers with 200 and a body, told apart by how long the path is:
;;   1 (/)        an empty body
;;   3 (/ok)      "first", its end, and a trap
;;   4 (/cut)     "first", and a trap after WAIT
;;   5 (/late)    "first", and "last" after WAIT
;;   6 (/never)   no answer, for hours
;;   7 (/stream)  a page, and another, for ever
;;   8 (/log/???) an empty body, after a page of stdout that begins with the path and ends with a line's end
(component
  (import "wasi:io/error@0.2.0" (instance $errors
    (export "error" (type $error (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $outer))
    (export "error" (type $error (eq $outer)))
    (export "output-stream" (type $output (sub resource)))
    (type $failed (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failed)))
    (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $output))
      (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $outer))
    (export "output-stream" (type $output (eq $outer)))
    (export "get-stdout" (func (result (own $output))))))
  (import "wasi:http/types@0.2.0" (instance $types
    (alias outer 1 $output (type $outer))
    (export "output-stream" (type $output (eq $outer)))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $request (sub resource)))
    (export "outgoing-response" (type $response (sub resource)))
    (export "outgoing-body" (type $body (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))
    (type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error (eq $dns)))
    (type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert (eq $tls)))
    (type $size (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size (eq $size)))
    (type $code (variant
      (case "DNS-timeout") (case "DNS-error" $dns-error)
      (case "destination-not-found") (case "destination-unavailable")
      (case "destination-IP-prohibited") (case "destination-IP-unroutable")
      (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
      (case "connection-read-timeout") (case "connection-write-timeout") (case "connection-limit-reached")
      (case "TLS-protocol-error") (case "TLS-certificate-error") (case "TLS-alert-received" $tls-alert)
      (case "HTTP-request-denied") (case "HTTP-request-length-required")
      (case "HTTP-request-body-size" (option u64)) (case "HTTP-request-method-invalid")
      (case "HTTP-request-URI-invalid") (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size))
      (case "HTTP-request-trailer-section-size" (option u32)) (case "HTTP-request-trailer-size" $field-size)
      (case "HTTP-response-incomplete") (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size) (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32)) (case "HTTP-response-trailer-size" $field-size)
      (case "HTTP-response-transfer-coding" (option string)) (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout") (case "HTTP-upgrade-failed") (case "HTTP-protocol-error")
      (case "loop-detected") (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $code)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[constructor]outgoing-response"
      (func (param "headers" (own $fields)) (result (own $response))))
    (export "[method]outgoing-response.body"
      (func (param "self" (borrow $response)) (result (result (own $body)))))
    (export "[method]outgoing-body.write"
      (func (param "self" (borrow $body)) (result (result (own $output)))))
    (export "[static]outgoing-body.finish" (func (param "this" (own $body))
      (param "trailers" (option (own $fields))) (result (result (error $error-code)))))
    (export "[method]incoming-request.path-with-query"
      (func (param "self" (borrow $request)) (result (option string))))
    (export "[static]response-outparam.set"
      (func (param "param" (own $outparam)) (param "response" (result (own $response) (error $error-code)))))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))

  (core module $library
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $library (instantiate $library))
  (alias core export $library "memory" (core memory $memory))
  (alias core export $library "realloc" (core func $realloc))

  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $after (canon lower (func $clock "subscribe-duration")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core func $stdout (canon lower (func $stdout "get-stdout")))
  (core func $drop (canon resource.drop $output))
  (core func $fields (canon lower (func $types "[constructor]fields")))
  (core func $response (canon lower (func $types "[constructor]outgoing-response")))
  (core func $body (canon lower (func $types "[method]outgoing-response.body") (memory $memory)))
  (core func $stream (canon lower (func $types "[method]outgoing-body.write") (memory $memory)))
  (core func $finish (canon lower (func $types "[static]outgoing-body.finish") (memory $memory) (realloc $realloc)))
  (core func $path (canon lower (func $types "[method]incoming-request.path-with-query")
    (memory $memory) (realloc $realloc)))
  (core func $set (canon lower (func $types "[static]response-outparam.set") (memory $memory)))

  (core module $server
    (import "library" "memory" (memory 1))
    (import "host" "block" (func $block (param i32)))
    (import "host" "after" (func $after (param i64) (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "stdout" (func $stdout (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "body" (func $body (param i32 i32)))
    (import "host" "stream" (func $stream (param i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (data (i32.const 512) "firstlast")
    (func $wait (param $nanoseconds i64)
      (call $block (call $after (local.get $nanoseconds))))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (local $length i32) (local $response i32) (local $body i32) (local $stream i32)
      ;; option<string> at 0: 0 whether, 4 where, 8 how long
      (call $path (local.get $request) (i32.const 0))
      (local.set $length (i32.load (i32.const 8)))
      (if (i32.eq (local.get $length) (i32.const 6)) (then (call $wait (i64.const 9999000000000))))
      (if (i32.eq (local.get $length) (i32.const 8)) (then
        (memory.fill (i32.const 8192) (i32.const 46) (i32.const 4095))
        (i32.store8 (i32.const 12287) (i32.const 10))
        (memory.copy (i32.const 8192) (i32.load (i32.const 4)) (local.get $length))
        (call $write (call $stdout) (i32.const 8192) (i32.const 4096) (i32.const 16))))
      (local.set $response (call $response (call $fields)))
      (call $body (local.get $response) (i32.const 16))
      (local.set $body (i32.load (i32.const 20)))
      (call $stream (local.get $body) (i32.const 16))
      (local.set $stream (i32.load (i32.const 20)))
      (call $set (local.get $outparam)
        (i32.const 0) (local.get $response)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (if (i32.eq (local.get $length) (i32.const 3)) (then
        (call $write (local.get $stream) (i32.const 512) (i32.const 5) (i32.const 16))))
      (if (i32.eq (local.get $length) (i32.const 4)) (then
        (call $write (local.get $stream) (i32.const 512) (i32.const 5) (i32.const 16))
        (call $wait (i64.const WAIT))
        unreachable))
      (if (i32.eq (local.get $length) (i32.const 5)) (then
        (call $write (local.get $stream) (i32.const 512) (i32.const 5) (i32.const 16))
        (call $wait (i64.const WAIT))
        (call $write (local.get $stream) (i32.const 517) (i32.const 4) (i32.const 16))))
      (if (i32.eq (local.get $length) (i32.const 7)) (then
        (loop $more
          (call $write (local.get $stream) (i32.const 8192) (i32.const 4096) (i32.const 16))
          ;; until it fails
          (br_if $more (i32.eqz (i32.load8_u (i32.const 16)))))))
      (call $drop (local.get $stream))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 16))
      (if (i32.eq (local.get $length) (i32.const 3)) (then unreachable))))
  (core instance $server (instantiate $server
    (with "library" (instance $library))
    (with "host" (instance
      (export "block" (func $block))
      (export "after" (func $after))
      (export "write" (func $write))
      (export "stdout" (func $stdout))
      (export "drop" (func $drop))
      (export "fields" (func $fields))
      (export "response" (func $response))
      (export "body" (func $body))
      (export "stream" (func $stream))
      (export "finish" (func $finish))
      (export "path" (func $path))
      (export "set" (func $set))))))

  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $server "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
