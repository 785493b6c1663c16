module github.com/libconsul/consul_lock/bindings/go/lib/linux_amd64

go 1.21
