// Runs the conformance scenarios of bindings/conformance through the Go package. Their README.md describes them.
//
//	conformance FILE [NAME…]
//	conformance FILE child LINE NAME=VALUE…
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The number of scenarios at once: they wait more than they work.
const atOnce = 8

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: conformance FILE [NAME…]")
		os.Exit(2)
	}
	file, rest := os.Args[1], os.Args[2:]
	suite, err := read(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if len(rest) >= 2 && rest[0] == "child" {
		os.Exit(child(suite, rest[1], rest[2:]))
	}

	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, s := range suite.scenarios {
		if len(rest) > 0 && !slices.Contains(rest, s.name) {
			continue
		}
		all.Add(1)
		go func(s scenario) {
			defer all.Done()
			free <- struct{}{}
			defer func() { <-free }()
			verdict := "ok " + s.name
			if s.without {
				verdict = "without " + s.name
			} else if err := s.run(suite); err != nil {
				verdict = fmt.Sprintf("FAILED %s %v", s.name, err)
			}
			fmt.Println(oneLine(verdict))
		}(s)
	}
	all.Wait()
}

func (s scenario) run(suite *suite) error {
	r := newRun(suite)
	r.set("key", fmt.Sprintf("conformance/%s-%s", s.name, random()))
	defer r.end()
	return r.block(s.steps)
}

// child executes one block in this new process, and prints the variables that the block stored.
func child(suite *suite, line string, variables []string) int {
	number, err := strconv.Atoi(line)
	if err != nil {
		fmt.Println("FAILED line", line+": is no number")
		return 1
	}
	r := newRun(suite)
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		r.variables[name] = value
	}
	r.set("pid", strconv.Itoa(os.Getpid()))
	r.stored = func(name, value string) { fmt.Println("as", name, value) }
	err = r.block(suite.blocks[number])
	r.end()
	if err != nil {
		fmt.Println(oneLine(fmt.Sprintf("FAILED %v", err)))
		return 1
	}
	fmt.Println("ok")
	return 0
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
