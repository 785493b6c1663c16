package consullock_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/libconsul/consul_lock/bindings/go"
	version    = "v0.1.0"
)

// moduleFiles are the files of the module in a folder: all below it except other modules.
func moduleFiles(t *testing.T, root string) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, path)
		files = append(files, filepath.ToSlash(name))
		return err
	}))
	return files
}

// libraries are the folders of the modules with the static libraries.
func libraries(t *testing.T) []string {
	t.Helper()
	mods, err := filepath.Glob("lib/*/go.mod")
	must(t, err)
	if len(mods) != 4 {
		t.Fatal(mods)
	}
	for i, mod := range mods {
		mods[i] = filepath.Dir(mod)
	}
	return mods
}

// serve adds the module in a folder to a module proxy. The files of extra, by their names, are in the module, too.
func serve(t *testing.T, proxy, root string, extra map[string]string) {
	t.Helper()
	path := filepath.ToSlash(filepath.Join(modulePath, root))
	folder := filepath.Join(proxy, path, "@v")
	must(t, os.MkdirAll(folder, 0o755))
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644)) }
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	must(t, err)
	write("list", version+"\n")
	write(version+".info", `{"Version": "`+version+`", "Time": "2026-01-01T00:00:00Z"}`)
	write(version+".mod", string(mod))
	packed, err := os.Create(filepath.Join(folder, version+".zip"))
	must(t, err)
	defer packed.Close()
	archive := zip.NewWriter(packed)
	add := func(name, file string) {
		text, err := os.ReadFile(file)
		must(t, err)
		to, err := archive.Create(path + "@" + version + "/" + name)
		must(t, err)
		_, err = to.Write(text)
		must(t, err)
	}
	for _, file := range moduleFiles(t, root) {
		if _, replaced := extra[file]; !replaced {
			add(file, filepath.Join(root, file))
		}
	}
	for name, file := range extra {
		add(name, file)
	}
	must(t, archive.Close())
}

// serveModules makes a folder that serves as a module proxy for this module and those of the static libraries. The
// static library is the one that pkg-config finds; the tests have none for musl or for another processor.
func serveModules(t *testing.T) string {
	t.Helper()
	proxy := t.TempDir()
	serve(t, proxy, ".", nil)
	for _, folder := range libraries(t) {
		var extra map[string]string
		if folder == "lib/linux_"+runtime.GOARCH {
			extra = map[string]string{"libconsul_lock.a": filepath.Join(pkgConfig(t, "libdir"), "libconsul_lock.a")}
		}
		serve(t, proxy, folder, extra)
	}
	return proxy
}

// A consumer is an empty folder outside of the repository that gets the module from the proxy only.
type consumer struct {
	folder      string
	environment []string
}

func newConsumer(t *testing.T) consumer {
	c := consumer{t.TempDir(), append(os.Environ(), "GOPROXY=file://"+serveModules(t), "GOSUMDB=off", "GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw -buildvcs=false", "GOMODCACHE="+t.TempDir(), "LD_LIBRARY_PATH=")}
	c.must(t, nil, "go", "mod", "init", "example.org/consumer")
	return c
}

func (c consumer) run(environment []string, words ...string) (string, error) {
	command := exec.Command(words[0], words[1:]...)
	command.Dir, command.Env = c.folder, append(c.environment, environment...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func (c consumer) must(t *testing.T, environment []string, words ...string) string {
	t.Helper()
	output, err := c.run(environment, words...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, output)
	}
	return output
}

// readmeExample is the first program of the README.
func readmeExample(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	must(t, err)
	found := regexp.MustCompile("(?s)<!-- examples/first/main.go:.*?-->\n```go\n(.*?)```").FindSubmatch(readme)
	if found == nil {
		t.Fatal("the README has no first program")
	}
	return string(found[1])
}

func pkgConfig(t *testing.T, what string) string {
	t.Helper()
	output, err := exec.Command("pkg-config", "--variable="+what, "consul_lock").Output()
	must(t, err)
	return filepath.Clean(strings.TrimSpace(string(output)))
}

func TestTheReadmesFirstProgramIsTheExample(t *testing.T) {
	text, err := os.ReadFile("examples/first/main.go")
	must(t, err)
	if readmeExample(t) != string(text) {
		t.Fatal("they differ")
	}
}

func TestThePackageIsSmall(t *testing.T) {
	files := moduleFiles(t, ".")
	t.Log(strings.Join(files, "\n"))
	for _, wanted := range strings.Fields("go.mod README.md LICENSE-MIT LICENSE-APACHE bridge.c bridge.h lock.go " +
		"internal/include/consul_lock.h internal/include/consul_lock_async.h") {
		if !slices.Contains(files, wanted) {
			t.Errorf("no %s", wanted)
		}
	}
	total := 0
	for _, file := range files {
		about, err := os.Stat(file)
		must(t, err)
		total += int(about.Size())
	}
	if total > 400_000 {
		t.Errorf("%d bytes", total)
	}
}

// A user gets the module from a proxy, in an empty folder, and links the library of the module or the installed one.
func TestTheModuleIsInstalledAndRuns(t *testing.T) {
	c := newConsumer(t)
	must(t, os.WriteFile(filepath.Join(c.folder, "main.go"), []byte(readmeExample(t)), 0o644))
	c.must(t, nil, "go", "get", modulePath+"@"+version)
	for _, module := range strings.Fields(c.must(t, nil, "go", "list", "-m", "-f", "{{.Path}}", "all")) {
		if module != "example.org/consumer" && !strings.HasPrefix(module, modulePath) {
			t.Fatalf("there is another module: %s", module)
		}
	}
	rpath := "CGO_LDFLAGS=-Wl,-rpath," + pkgConfig(t, "libdir")
	const system = "-tags=consul_lock_system"

	t.Run("the library of the module", func(t *testing.T) {
		c.must(t, []string{"PKG_CONFIG=false", "PKG_CONFIG_PATH="}, "go", "build", "-o", "own", ".")
		if said := c.must(t, nil, "./own"); said != "making the report\n" {
			t.Error(said)
		}
		if needs := c.must(t, nil, "ldd", "./own"); strings.Contains(needs, "consul_lock") ||
			strings.Contains(needs, "libgcc") {
			t.Error(needs)
		}
	})
	t.Run("shared", func(t *testing.T) {
		c.must(t, []string{rpath}, "go", "build", system, "-o", "shared", ".")
		if said := c.must(t, nil, "./shared"); said != "making the report\n" {
			t.Error(said)
		}
		if needs := c.must(t, nil, "ldd", "./shared"); !strings.Contains(needs, "libconsul_lock.so.0.1") {
			t.Error(needs)
		}
	})
	t.Run("static", func(t *testing.T) {
		c.must(t, nil, "go", "build", "-tags", "consul_lock_static", "-o", "static", ".")
		if said := c.must(t, nil, "./static"); said != "making the report\n" {
			t.Error(said)
		}
		if needs := c.must(t, nil, "ldd", "./static"); strings.Contains(needs, "consul_lock") {
			t.Error(needs)
		}
	})
	t.Run("the longer example", func(t *testing.T) {
		c.must(t, []string{rpath}, "go", "build", system, "-o", "worker", modulePath+"/examples/worker")
		if said := c.must(t, nil, "./worker"); !strings.Contains(said, "invoice 3, with token") {
			t.Error(said)
		}
	})
	t.Run("no library, or another one", func(t *testing.T) {
		c.must(t, nil, "go", "build", system, "-o", "plain", ".")
		said, err := c.run(nil, "./plain")
		if needs := c.must(t, nil, "ldd", "./plain"); strings.Contains(needs, "libconsul_lock.so.0.1 => not found") {
			readme, readErr := os.ReadFile("README.md")
			must(t, readErr)
			if err == nil || !strings.Contains(string(readme), strings.TrimPrefix(strings.TrimSpace(said), "./plain: ")) {
				t.Errorf("%v: the README does not contain %s", err, said)
			}
		} else if err != nil { // the system has the library installed
			t.Error(err, said)
		}
		if said, err := c.run([]string{"LD_LIBRARY_PATH=" + stranger(t)}, "./plain"); err == nil ||
			!strings.Contains(said, "it has ABI version 999, and this program was compiled for 2") {
			t.Error(err, said)
		}
	})
	t.Run("another header", func(t *testing.T) {
		// The flag invalidates Go's build cache, which ignores the output of pkg-config.
		folder := otherHeader(t)
		other := []string{"PKG_CONFIG_PATH=" + folder, "CGO_CFLAGS=-I" + folder}
		if said, err := c.run(other, "go", "build", system, "-o", "none", "."); err == nil ||
			!strings.Contains(said, "this Go package needs consul_lock.h of libconsul_lock 0.1.0 or later with ABI version 2") {
			t.Error(err, said)
		}
	})
	t.Run("no library for the processor", func(t *testing.T) {
		for processor, wanted := range map[string]bool{"amd64": false, "arm64": false, "riscv64": true} {
			files := c.must(t, []string{"CGO_ENABLED=1", "GOARCH=" + processor}, "go", "list", "-f", "{{.GoFiles}}", modulePath)
			if strings.Contains(files, "processor.go") != wanted {
				t.Error(processor, files)
			}
		}
	})
	t.Run("on another system", func(t *testing.T) {
		for _, other := range []string{"darwin", "windows"} {
			said, err := c.run([]string{"CGO_ENABLED=0", "GOOS=" + other}, "go", "vet", ".")
			if err == nil || !strings.Contains(said, "consullock_runs_on_linux_only") ||
				strings.Contains(said, "CGO_ENABLED") {
				t.Error(other, err, said)
			}
		}
	})
	t.Run("without cgo", func(t *testing.T) {
		if said, err := c.run([]string{"CGO_ENABLED=0"}, "go", "build", "-o", "none", "."); err == nil ||
			!strings.Contains(said, "consullock_needs_cgo") {
			t.Error(err, said)
		}
	})
}

// stranger makes a library with all functions, which has another ABI version and aborts in any other call.
func stranger(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	source := "void abort(void);\nunsigned consul_lock_abi_version(void) { return 999; }\n"
	for _, function := range api(t).Functions {
		if function.Name != "consul_lock_abi_version" {
			source += "void " + function.Name + "(void) { abort(); }\n"
		}
	}
	must(t, os.WriteFile(filepath.Join(folder, "stranger.c"), []byte(source), 0o644))
	output, err := exec.Command("cc", "-shared", "-fPIC", "-Wl,-soname,libconsul_lock.so.0.1",
		filepath.Join(folder, "stranger.c"), "-o", filepath.Join(folder, "libconsul_lock.so.0.1")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return folder
}

// otherHeader makes a folder for pkg-config in which the header has another ABI version.
func otherHeader(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	header, err := os.ReadFile(filepath.Join(pkgConfig(t, "includedir"), "consul_lock.h"))
	must(t, err)
	const ours = "#define CONSUL_LOCK_ABI_VERSION "
	other := strings.Replace(string(header), ours+"2", ours+"999", 1)
	pc := "Name: consul_lock\nDescription: of a test\nVersion: 9\nCflags: -I" + folder + "\n"
	async, err := os.ReadFile(filepath.Join(pkgConfig(t, "includedir"), "consul_lock_async.h"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, "consul_lock.h"), []byte(other), 0o644))
	must(t, os.WriteFile(filepath.Join(folder, "consul_lock_async.h"), async, 0o644))
	must(t, os.WriteFile(filepath.Join(folder, "consul_lock.pc"), []byte(pc), 0o644))
	return folder
}
