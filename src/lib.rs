#![doc = "Runs Open Application Model `Application`s on wasmCloud lattices."]
