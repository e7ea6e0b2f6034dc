;; Answers every HTTP request with "hello from trellis VERSION", or with "GREETING VERSION" when
;; the component has a secret `greeting`, or its configuration a value of that name.
(module
  (import "wasi:config/store@0.2.0-draft" "get"
    (func $config-get (param $key i32) (param $key-length i32) (param $result i32)))
  (import "wasmcloud:secrets/store@0.1.0-draft" "get"
    (func $secret-get (param $key i32) (param $key-length i32) (param $result i32)))
  (import "wasmcloud:secrets/store@0.1.0-draft" "[resource-drop]secret"
    (func $drop-secret (param i32)))
  (import "wasmcloud:secrets/reveal@0.1.0-draft" "reveal"
    (func $reveal (param $secret i32) (param $result i32)))
  (import "wasi:http/types@0.2.6" "[resource-drop]incoming-request"
    (func $drop-request (param i32)))
  (import "wasi:http/types@0.2.6" "[constructor]fields"
    (func $new-fields (result i32)))
  (import "wasi:http/types@0.2.6" "[constructor]outgoing-response"
    (func $new-response (param $headers i32) (result i32)))
  (import "wasi:http/types@0.2.6" "[method]outgoing-response.body"
    (func $response-body (param $response i32) (param $result i32)))
  ;; The outparam, whether the response is an error, the response; the rest is the widest error.
  (import "wasi:http/types@0.2.6" "[static]response-outparam.set"
    (func $respond (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.6" "[method]outgoing-body.write"
    (func $body-stream (param $body i32) (param $result i32)))
  (import "wasi:http/types@0.2.6" "[static]outgoing-body.finish"
    (func $finish (param $body i32) (param $has-trailers i32) (param $trailers i32) (param $result i32)))
  (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
    (func $write (param $stream i32) (param $bytes i32) (param $length i32) (param $result i32)))
  (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream"
    (func $drop-stream (param i32)))

  (memory (export "memory") 1)
  (data (i32.const 64) "greeting")
  (data (i32.const 96) "hello from trellis")
  (data (i32.const 128) " {version}\n")

  ;; 0 to 63: the result of whatever was called last. Its first byte is 0 for success.
  (global $result i32 (i32.const 0))
  ;; Where the next allocation starts. An instance serves one request, so nothing is ever freed.
  (global $next (mut i32) (i32.const 1024))

  ;; The handle in a result<handle>; there is nothing to answer with if it is an error.
  (func $unwrap (result i32)
    (if (i32.load8_u (global.get $result)) (then unreachable))
    (i32.load offset=4 (global.get $result)))

  (func $print (param $stream i32) (param $bytes i32) (param $length i32)
    (call $write (local.get $stream) (local.get $bytes) (local.get $length) (global.get $result)))

  (func (export "wasi:http/incoming-handler@0.2.6#handle") (param $request i32) (param $outparam i32)
    (local $response i32) (local $body i32) (local $stream i32)
    (local $greeting i32) (local $greeting-length i32) (local $secret i32)
    (call $drop-request (local.get $request))

    (local.set $greeting (i32.const 96))
    (local.set $greeting-length (i32.const 18))
    (call $config-get (i32.const 64) (i32.const 8) (global.get $result))
    ;; A result<option<string>>: success, and a value that is there and not empty.
    (if (i32.and
          (i32.eqz (i32.load8_u (global.get $result)))
          (i32.load8_u offset=4 (global.get $result)))
      (then
        (if (i32.load offset=12 (global.get $result))
          (then
            (local.set $greeting (i32.load offset=8 (global.get $result)))
            (local.set $greeting-length (i32.load offset=12 (global.get $result)))))))

    (call $secret-get (i32.const 64) (i32.const 8) (global.get $result))
    (if (i32.eqz (i32.load8_u (global.get $result)))
      (then
        (local.set $secret (call $unwrap))
        ;; A variant of text and bytes, which are told apart by the first byte.
        (call $reveal (local.get $secret) (global.get $result))
        (local.set $greeting (i32.load offset=4 (global.get $result)))
        (local.set $greeting-length (i32.load offset=8 (global.get $result)))
        (call $drop-secret (local.get $secret))))

    (local.set $response (call $new-response (call $new-fields)))
    (call $response-body (local.get $response) (global.get $result))
    (local.set $body (call $unwrap))
    (call $respond (local.get $outparam) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))

    (call $body-stream (local.get $body) (global.get $result))
    (local.set $stream (call $unwrap))
    (call $print (local.get $stream) (local.get $greeting) (local.get $greeting-length))
    (call $print (local.get $stream) (i32.const 128) (i32.const {version-length}))
    ;; The stream belongs to the body and has to go first.
    (call $drop-stream (local.get $stream))
    (call $finish (local.get $body) (i32.const 0) (i32.const 0) (global.get $result)))

{allocator})
