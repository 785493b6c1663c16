module github.com/libconsul/consul_lock/bindings/go/lib/linux_amd64_musl

go 1.21
