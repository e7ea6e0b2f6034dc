;; Sends the body of a message back to whoever asked for an answer.
(module
  ;; The message in pieces: subject, body, reply-to (each an address and a length, reply-to after
  ;; whether there is one), and where the result goes.
  (import "wasmcloud:messaging/consumer@0.2.0" "publish"
    (func $publish (param i32 i32 i32 i32 i32 i32 i32 i32)))

  (memory (export "memory") 1)

  ;; 0: a result<_, string>; one byte that is 0 for success, then the error's address and length.
  (global $result i32 (i32.const 0))
  ;; Where the next allocation starts. An instance serves one message, so nothing is ever freed.
  (global $next (mut i32) (i32.const 1024))

  (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
    (param $subject i32) (param $subject-length i32)
    (param $body i32) (param $body-length i32)
    (param $has-reply i32) (param $reply i32) (param $reply-length i32)
    (result i32)
    (if (local.get $has-reply)
      (then
        (call $publish
          (local.get $reply) (local.get $reply-length)
          (local.get $body) (local.get $body-length)
          (i32.const 0) (i32.const 0) (i32.const 0)
          (global.get $result))))
    ;; What publish said, or the success that empty memory means.
    (global.get $result))

{allocator})
