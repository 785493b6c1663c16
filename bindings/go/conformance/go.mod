module conformance

go 1.21

require github.com/libconsul/consul_lock/bindings/go v0.1.0

replace github.com/libconsul/consul_lock/bindings/go => ..
