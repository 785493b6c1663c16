package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A step is one line, and for a block the lines up to its end.
type step struct {
	line  int
	words []string // VERB ARGUMENT… [as NAME], without the expectation
	as    string   // the variable that gets the answer
	want  []string // the expectation, which stands at the end of a block
	block []step
	end   int // the line of a block's end
}

type scenario struct {
	name    string
	without bool // Go leaves the scenario out
	steps   []step
}

type suite struct {
	file      string
	scenarios []scenario
	blocks    map[int][]step // by the line on which they begin
}

var (
	word    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\S+`)
	escapes = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n", `\t`, "\t", `\0`, "\x00")
)

func read(file string) (*suite, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := &suite{file: file, blocks: map[int][]step{}}
	// The steps of the scenario, and those of the blocks that are open.
	var open [][]step
	for number, line := range strings.Split(string(text), "\n") {
		number++
		words := word.FindAllString(line, -1)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#") || words[0] == "must-fail":
		case words[0] == "scenario":
			all.scenarios = append(all.scenarios, scenario{name: strings.TrimSuffix(words[1], ":")})
			open = [][]step{nil}
		case words[0] == "without":
			for _, language := range words[1:] {
				if language == ":" || strings.HasSuffix(language, ":") {
					all.last().without = all.last().without || language == "go:"
					break
				}
				all.last().without = all.last().without || language == "go"
			}
		case words[0] == "end":
			if len(open) < 2 {
				return nil, fmt.Errorf("line %d: end of nothing", number)
			}
			inner := open[len(open)-1]
			open = open[:len(open)-1]
			outer := open[len(open)-1]
			block := &outer[len(outer)-1]
			block.block, block.want, block.end = inner, parse(number, words).want, number
			all.blocks[block.line] = inner
		default:
			this := parse(number, words)
			open[len(open)-1] = append(open[len(open)-1], this)
			if slices.Contains([]string{"hold", "child", "fork"}, this.words[0]) {
				open = append(open, nil)
			}
		}
		if len(open) == 1 {
			all.last().steps = open[0]
		}
	}
	return all, nil
}

func (s *suite) last() *scenario { return &s.scenarios[len(s.scenarios)-1] }

func parse(number int, words []string) step {
	this := step{line: number}
	if arrow := slices.Index(words, "->"); arrow >= 0 {
		words, this.want = words[:arrow], words[arrow+1:]
	}
	if n := len(words); n > 2 && words[n-2] == "as" {
		words, this.as = words[:n-2], words[n-1]
	}
	this.words = words
	return this
}

// text is a word with its quotes and escapes resolved.
func text(word string) string {
	if len(word) >= 2 && strings.HasPrefix(word, `"`) && strings.HasSuffix(word, `"`) {
		return escapes.Replace(word[1 : len(word)-1])
	}
	return word
}
