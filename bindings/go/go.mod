module github.com/libconsul/consul_lock/bindings/go

go 1.21

// The static libraries. A build downloads only the one of its platform.
require (
	github.com/libconsul/consul_lock/bindings/go/lib/linux_amd64 v0.1.0
	github.com/libconsul/consul_lock/bindings/go/lib/linux_amd64_musl v0.1.0
	github.com/libconsul/consul_lock/bindings/go/lib/linux_arm64 v0.1.0
	github.com/libconsul/consul_lock/bindings/go/lib/linux_arm64_musl v0.1.0
)
