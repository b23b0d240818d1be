package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Modes of files and directories.
const (
	readable        = 0o644
	executable      = 0o755
	passable        = 0o711
	everybodyWrites = 0o1777
)

// layerWriter writes a layer. Its files belong to root, unless said otherwise, and have the time of the commit.
type layerWriter struct {
	tar  *tar.Writer
	date time.Time
	made map[string]bool // directories
}

// filesOf returns the layer with all files of an image, as a tar archive.
func filesOf(ctx context.Context, programPath, licensePath string, date time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	w := &layerWriter{tar: tar.NewWriter(&buffer), date: date, made: map[string]bool{}}
	binary, err := os.ReadFile(programPath)
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(licensePath)
	if err != nil {
		return nil, err
	}
	zones, err := timeZones(ctx)
	if err != nil {
		return nil, err
	}
	accounts := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\ngatehouse:x:%[1]d:%[1]d:gatehouse:%[2]s:/sbin/nologin\n",
		account, dataDir)
	files := append([]file{
		{"etc/group", fmt.Appendf(nil, "root:x:0:\ngatehouse:x:%d:\n", account), readable},
		{"etc/passwd", []byte(accounts), readable},
		{"etc/ssl/certs/ca-certificates.crt", authorities(), readable},
		{"licenses/LICENSE", license, readable},
		{program[1:], binary, executable},
	}, zones...)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, each := range files {
		if err := w.add(each); err != nil {
			return nil, err
		}
	}
	if err := w.directory("tmp", everybodyWrites, 0); err != nil {
		return nil, err
	}
	if err := w.directories("var/lib"); err != nil {
		return nil, err
	}
	if err := w.directory(dataDir[1:], passable, account); err != nil {
		return nil, err
	}
	return buffer.Bytes(), w.tar.Close()
}

// file is a file of an image.
type file struct {
	path string // without the first slash
	text []byte
	mode int64
}

func (w *layerWriter) add(f file) error {
	if err := w.directories(filepath.Dir(f.path)); err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: f.path, Size: int64(len(f.text)), Mode: f.mode, ModTime: w.date,
		Uname: "root", Gname: "root", Format: tar.FormatPAX,
	}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.tar.Write(f.text)
	return err
}

// directories adds a directory and those that it is in, once each.
func (w *layerWriter) directories(path string) error {
	if path == "." || w.made[path] {
		return nil
	}
	if err := w.directories(filepath.Dir(path)); err != nil {
		return err
	}
	return w.directory(path, executable, 0)
}

func (w *layerWriter) directory(path string, mode int64, owner int) error {
	w.made[path] = true
	return w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: path + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: w.date,
		Format: tar.FormatPAX,
	})
}

// authorities returns the certificate authorities that Mozilla trusts without a constraint, as PEM. They are those of a
// Go module, so that they are the same wherever the image is made.
func authorities() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return text.Bytes()
}

// timeZones returns the time zones of the Go toolchain.
func timeZones(ctx context.Context) (zones []file, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	for _, entry := range archive.File {
		if entry.FileInfo().IsDir() {
			continue
		}
		text, err := readEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name, err)
		}
		zones = append(zones, file{"usr/share/zoneinfo/" + entry.Name, text, readable})
	}
	return zones, nil
}

func readEntry(entry *zip.File) ([]byte, error) {
	reader, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}
