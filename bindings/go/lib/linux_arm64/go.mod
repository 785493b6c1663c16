module github.com/libconsul/consul_lock/bindings/go/lib/linux_arm64

go 1.21
