package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the account of the operating system that Postgres runs as.
type account struct {
	uid, gid uint32
	switched bool // it differs from the account of this process, which is root then
}

// chooseAccount returns the account of this process unless that is root, which Postgres refuses. For root it returns
// the owner of the cluster, or for a new cluster the account postgres, else nobody. The owner has precedence, so that
// an account named postgres that is created later does not lock the cluster out.
func chooseAccount(cluster string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{uid: uint32(uid), gid: uint32(os.Getegid())}, nil
	}
	if uid, gid, err := owner(cluster); err == nil && uid != 0 {
		return account{uid: uid, gid: gid, switched: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, err := lookUpAccount(name); err == nil && a.uid != 0 {
			return a, nil
		}
	}
	return account{}, errors.New("cannot run postgres as root, and neither the account postgres nor nobody exists: " +
		"start the server as an ordinary user")
}

func lookUpAccount(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return account{uid: uint32(uid), gid: uint32(gid), switched: true}, err
}

// owner returns the owner of path, or of the symbolic link if path is one.
func owner(path string) (uid, gid uint32, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("get owner of %s: not supported on this system", path)
	}
	return stat.Uid, stat.Gid, nil
}

// own makes the account the owner of path.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// ownCluster makes the account the owner of every file of a cluster that belongs to root, as a restored backup may.
func (a account) ownCluster(cluster string) error {
	uid, _, err := owner(cluster)
	if err != nil || uid == a.uid || uid != 0 {
		return err
	}
	return filepath.WalkDir(cluster, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.own(path)
	})
}

// privateMode is the mode of the directories that only the account may enter.
const privateMode = 0o700

// maxClusterMode are the permissions that Postgres accepts for its data directory: those of initdb
// --allow-group-access.
const maxClusterMode fs.FileMode = 0o750

// mendCluster removes permissions with which Postgres refuses to start, as the entrypoints of container images do.
// Kubernetes adds those of the group to everything in a volume with an fsGroup.
func mendCluster(cluster string, log *slog.Logger) error {
	info, err := os.Stat(cluster)
	if err != nil {
		return fmt.Errorf("check data directory: %w", err)
	}
	if info.Mode().Perm()&^maxClusterMode == 0 {
		return nil
	}
	if err := os.Chmod(cluster, privateMode); err != nil {
		return fmt.Errorf("postgres needs a data directory that only its account may write: %w: "+
			"run chmod 700 %s as its owner", err, cluster)
	}
	log.Warn("the data directory of postgres was open to other accounts", "dir", cluster,
		"mode", fmt.Sprintf("%04o", info.Mode().Perm()), "new_mode", fmt.Sprintf("%04o", privateMode))
	return nil
}

// canReach reports whether the account may search every directory above path, according to their modes alone.
func (a account) canReach(path string) (bool, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return false, err
		}
		uid, gid, err := owner(dir)
		if err != nil {
			return false, err
		}
		if info.Mode().Perm()&a.searchBit(uid, gid) == 0 {
			return false, nil
		}
		if dir == filepath.Dir(dir) {
			return true, nil
		}
	}
}

// searchBit returns the permission bit that lets the account search a directory of this owner and group.
func (a account) searchBit(uid, gid uint32) fs.FileMode {
	switch {
	case uid == a.uid:
		return 0o100
	case gid == a.gid:
		return 0o010
	default:
		return 0o001
	}
}

// credential returns nil for the account of this process, because only root may set a credential.
func (a account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}
