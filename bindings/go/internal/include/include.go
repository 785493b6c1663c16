// Package include holds the headers of the library that the module brings. It is a package so that `go mod vendor`
// copies them.
package include
