package consullock_test

import (
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// api is the machine-readable description of the C interface.
func api(t *testing.T) (described struct {
	Version    string
	ABIVersion int `json:"abi_version"`
	Functions  []struct{ Name string }
	Options    []struct {
		Name, Type string
		Default    string
		Places     []string
	}
	Statuses []struct {
		Name   string
		Number int32
	}
	LostReasons []struct {
		Name   string
		Number int32
	} `json:"lost_reasons"`
	LogLevels []struct {
		Name   string
		Number int32
	} `json:"log_levels"`
}) {
	t.Helper()
	text, err := os.ReadFile("../../abi/api.json")
	must(t, err)
	must(t, json.Unmarshal(text, &described))
	return described
}

func TestEachStatusIsAnError(t *testing.T) {
	codes := map[string]consullock.Code{
		"INVALID_ARGUMENT": consullock.ErrInvalidArgument, "INVALID_OPTION": consullock.ErrInvalidOption,
		"INVALID_ENVIRONMENT": consullock.ErrInvalidEnvironment, "ALREADY_USED": consullock.ErrAlreadyUsed,
		"VALUE_FAILED": consullock.ErrValueFailed, "NOT_ACQUIRED": consullock.ErrNotAcquired,
		"CANCELLED": consullock.ErrCancelled, "LOST": consullock.ErrLost, "NOT_HELD": consullock.ErrNotHeld,
		"UNCONFIRMED": consullock.ErrUnconfirmed, "CONFLICT": consullock.ErrConflict,
		"UNAVAILABLE": consullock.ErrUnavailable,
		"DENIED":      consullock.ErrDenied,
		"REJECTED":    consullock.ErrRejected, "INTERNAL": consullock.ErrInternal, "FORKED": consullock.ErrForked,
		"NO_RESOURCES": consullock.ErrNoResources,
	}
	for _, status := range api(t).Statuses {
		if status.Name == "OK" {
			continue
		}
		code, ok := codes[status.Name]
		if !ok || int32(code) != status.Number || code.String() != status.Name ||
			code.Error() != "consullock: "+status.Name {
			t.Errorf("%s (%d) has no error: %v %d", status.Name, status.Number, code, code)
		}
		delete(codes, status.Name)
	}
	if len(codes) > 0 {
		t.Errorf("the library does not know %v", codes)
	}
	if unknown := consullock.Code(12345); unknown.String() != "UNKNOWN" {
		t.Error(unknown)
	}
}

func TestEachLostReasonHasItsName(t *testing.T) {
	reasons := api(t).LostReasons
	if len(reasons) != 4 {
		t.Fatal(reasons)
	}
	for _, reason := range reasons {
		if got := consullock.LostReason(reason.Number); got.String() != reason.Name {
			t.Errorf("%s is %v", reason.Name, got)
		}
	}
	if unknown := consullock.LostReason(0); unknown.String() != "UNKNOWN" {
		t.Error(unknown)
	}
}

func TestEachOptionCanBeSetAndIsInTheReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	own := newCertificates(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(tokenFile, []byte("x\n"), 0o600))
	valid := map[string]string{"value": "x", "address": "127.0.0.1:1", "ca_file": own.ca, "ca_path": own.folder,
		"client_cert": own.cert, "client_key": own.key, "tls_server_name": serverName, "token": "x",
		"token_file": tokenFile, "http_auth": "user:x", "proxy": "http://127.0.0.1:1", "datacenter": "dc1",
		"namespace": "team", "partition": "part", "session_node": "locks", "session_checks": "serfHealth", "mode": "share", "limit": "3"}
	partner := map[string]string{"client_cert": "client_key", "client_key": "client_cert"}
	for _, option := range api(t).Options {
		value, ok := valid[option.Name]
		if !ok {
			value = option.Default
		}
		for _, place := range option.Places {
			var err error
			switch place {
			case "lock":
				_, err = consullock.New("a", consullock.WithOption(option.Name, value))
			case "client":
				options := []consullock.ClientOption{consullock.WithClientOption(option.Name, value)}
				if other, ok := partner[option.Name]; ok {
					options = append(options, consullock.WithClientOption(other, valid[other]))
				}
				_, err = consullock.NewClient(options...)
			case "default":
				err = consullock.SetDefault(option.Name, value)
			default:
				t.Errorf("%s: %s", option.Name, place)
			}
			if err != nil {
				t.Errorf("%s of a %s: %v", option.Name, place, err)
			}
		}
		row := "`" + option.Name + "`"
		if !slices.Contains(option.Places, "default") {
			row = "(?m)^\\| `With.*" + row // the option has a function
		}
		if !regexp.MustCompile(row).Match(readme) {
			t.Errorf("the README does not name %s", option.Name)
		}
	}
}

// The functions that the package does not use, and why.
var leftOut = map[string]string{
	"consul_lock_free":                "the package releases by consul_lock_release, and frees by consul_lock_abandon",
	"consul_lock_options_set_int":     "the package passes each option as a text",
	"consul_lock_set_value_generator": "the package calls the generator in Go",
	"consul_lock_value_set":           "the package calls the generator in Go",
	"consul_lock_why_lost":            "the notice of a loss has the reason",

	"consul_lock_holders_count":     "consul_lock_holders_json has all entries",
	"consul_lock_holders_get":       "consul_lock_holders_json has all entries",
	"consul_lock_holders_role":      "consul_lock_holders_json has all entries",
	"consul_lock_holders_limit":     "consul_lock_holders_json has all entries",
	"consul_lock_holders_slot":      "consul_lock_holders_json has all entries",
	"consul_lock_holders_key":       "consul_lock_holders_json has all entries",
	"consul_lock_holders_key_count": "consul_lock_holders_json has all entries",

	"consul_lock_shutdown": "consul_lock_shutdown_start ends with a context",
}

// The package uses each function of the library, or says why not.
func TestEachFunctionIsUsed(t *testing.T) {
	files, err := filepath.Glob("*.[goch]*")
	must(t, err)
	used := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, name := range regexp.MustCompile(`\bconsul_lock_\w+`).FindAllString(string(text), -1) {
			used[name] = true
		}
	}
	queues := regexp.MustCompile(`^consul_lock_(queue|event|sender|bind_to_queue)`) // Go has channels instead
	for _, function := range api(t).Functions {
		_, out := leftOut[function.Name]
		out = out || queues.MatchString(function.Name)
		if used[function.Name] == out {
			t.Errorf("%s: used %v, left out %v", function.Name, used[function.Name], out)
		}
	}
}

func TestTheVersionsAgree(t *testing.T) {
	if described := api(t); described.ABIVersion != 2 || described.Version != consullock.Version() {
		t.Errorf("api.json is of %s and ABI version %d, and the library is %s", described.Version, described.ABIVersion,
			consullock.Version())
	}
}

func TestTheLicencesAreThoseOfTheProject(t *testing.T) {
	for _, name := range []string{"LICENSE-MIT", "LICENSE-APACHE"} {
		ours, err := os.ReadFile(name)
		must(t, err)
		theirs, err := os.ReadFile("../../" + name)
		must(t, err)
		if string(ours) != string(theirs) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestEachExportedNameIsDocumented(t *testing.T) {
	packages, err := parser.ParseDir(token.NewFileSet(), ".", func(file fs.FileInfo) bool {
		return !strings.HasSuffix(file.Name(), "_test.go")
	}, parser.ParseComments)
	must(t, err)
	found := doc.New(packages["consullock"], modulePath, 0)
	seen := 0
	check := func(what, text string) {
		seen++
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no comment", what)
		}
	}
	functions := func(all []*doc.Func) {
		for _, function := range all {
			check(function.Name, function.Doc)
		}
	}
	values := func(all []*doc.Value) {
		for _, value := range all {
			check(strings.Join(value.Names, " "), value.Doc)
			for _, spec := range value.Decl.Specs {
				if spec := spec.(*ast.ValueSpec); len(value.Names) > 1 {
					check(spec.Names[0].Name, spec.Doc.Text())
				}
			}
		}
	}
	check("the package", found.Doc)
	functions(found.Funcs)
	values(found.Vars)
	for _, named := range found.Types {
		check(named.Name, named.Doc)
		functions(named.Funcs)
		functions(named.Methods)
		values(named.Consts)
	}
	if seen < 80 {
		t.Errorf("only %d names are seen", seen)
	}
}
