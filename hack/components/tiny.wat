;; The smallest component that a host runs: one export, no imports.
;; A component without any export would keep one of the host's threads spinning for ever.
(module
  (memory (export "memory") 1)
  (func (export "trellis:test/probe@0.1.0#ping") (result i32)
    i32.const 42))
