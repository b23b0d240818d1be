package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"gatehouse/internal/testport"
)

// nginx is the contender that serves the list for gateways as a static file, plain and compressed before.
const nginx = "nginx"

// nginxConfig is the configuration of nginx. It has as many workers as there are CPUs, writes no log of requests, and
// keeps connections open. %[1]s is its directory, and %[2]s its address.
const nginxConfig = `
daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	default_type application/json;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location = /hello { return 200; }
		location = /system/apis { alias %[1]s/apis.json; gzip_static on; }
	}
}
`

// findNginx returns the path of nginx: of the one that is installed, or else of that of Debian's package, which it
// downloads into the directory of the run, once, and does not install.
func (b *bench) findNginx(ctx context.Context) (string, error) {
	for _, name := range []string{nginx, "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	if !b.fleet.download {
		return "", errors.New("it is not installed")
	}
	dir := filepath.Join(b.dir, "nginx-package")
	path := filepath.Join(dir, "usr/sbin/nginx")
	switch err := os.Mkdir(dir, 0o755); {
	case errors.Is(err, fs.ErrExist):
		_, err := os.Stat(path)
		return path, err
	case err != nil:
		return "", err
	}
	for _, line := range []string{"apt-get download nginx", "dpkg-deb --extract nginx_*.deb ."} {
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("it is not installed, and %s: %w: %s", line, err, out)
		}
	}
	return path, nil
}

// startNginx starts nginx with a list for gateways.
func (b *bench) startNginx(ctx context.Context, path string, list []byte) (*process, error) {
	dir, err := os.MkdirTemp(b.dir, "nginx-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // workers may run as another account
		return nil, err
	}
	if err := writeList(filepath.Join(dir, "apis.json"), list); err != nil {
		return nil, err
	}
	address, err := testport.Address()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address), 0o600); err != nil {
		return nil, err
	}
	// It prints no address, so the shell does, when the configuration is valid.
	script := `"$1" -t -q -e stderr -p "$2" -c "$3" && echo "listens on http://$4" && exec "$1" -e stderr -p "$2" -c "$3"`
	return b.startCommand(ctx, nginx, exec.Command("sh", "-c", script, "sh", path, dir, config, address))
}

// writeList writes a list, plain and compressed.
func writeList(file string, list []byte) error {
	if err := os.WriteFile(file, list, 0o644); err != nil { // workers may run as another account
		return err
	}
	compressed, err := os.Create(file + ".gz")
	if err != nil {
		return err
	}
	defer compressed.Close()
	w := gzip.NewWriter(compressed)
	_, err = w.Write(list)
	return errors.Join(err, w.Close(), compressed.Chmod(0o644))
}
