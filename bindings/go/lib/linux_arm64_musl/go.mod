module github.com/libconsul/consul_lock/bindings/go/lib/linux_arm64_musl

go 1.21
