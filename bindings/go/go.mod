module github.com/libconsul/consul_lock/bindings/go

go 1.21
