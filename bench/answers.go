package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
)

const listOfAPIs = "/system/apis"

// listRequests are the requests for the list of APIs, by the name of the encoding that their client accepts.
var listRequests = map[string]request{
	"plain": func(buf []byte, _ int) []byte {
		return call(buf, "GET "+listOfAPIs, "Authorization: "+nodeSecret, "")
	},
	"gzip": func(buf []byte, _ int) []byte {
		return call(buf, "GET "+listOfAPIs, "Authorization: "+nodeSecret+"\r\nAccept-Encoding: gzip", "")
	},
}

// measureAnswers measures how many times a second the list of APIs is sent, against nginx with the same bytes.
func (run *fleetRun) measureAnswers(ctx context.Context) (err error) {
	list, err := run.wholeList(ctx)
	if err != nil {
		return err
	}
	running := servers{gatehouse: run.server}
	path, err := run.findNginx(ctx)
	if err != nil {
		run.report.note("nginx is skipped: %v", err)
	} else {
		if running[nginx], err = run.startNginx(ctx, path, list); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, running[nginx].stop(ctx)) }()
	}
	for round := range run.rounds {
		run.progressf("answers to gateways: round %d of %d", round+1, run.rounds)
		for encoding := range listRequests {
			for _, clients := range run.fleet.clients {
				if err := run.answerRound(ctx, running, encoding, clients); err != nil {
					return fmt.Errorf("%s for %d clients: %w", listOfAPIs, clients, err)
				}
			}
		}
	}
	return nil
}

// wholeList returns the list of APIs, decoded and checked, as a static file has it.
func (run *fleetRun) wholeList(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+run.server.address+listOfAPIs, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", nodeSecret)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", listOfAPIs, response.Status, text)
	}
	if err != nil {
		return nil, err
	}
	_, err = decodeList(receivedList{full: text}, run.apis)
	return text, err
}

// answerRound measures each server once.
func (run *fleetRun) answerRound(ctx context.Context, running servers, encoding string, clients int) error {
	var names []string
	for name := range running {
		names = append(names, name)
	}
	perSecond := map[string]float64{}
	each := load{listRequests[encoding], func(*rand.Rand) int { return 0 }}
	for _, name := range shuffled(names) {
		s, err := each.apply(ctx, running[name], clients, run.window)
		if err != nil {
			return err
		}
		perSecond[name] = s.perSecond
		run.report.add(resultPrefix(name)+"fleet_apis_"+encoding+"_per_s"+connectionSuffix(clients), "lists/s", s.perSecond)
	}
	run.report.ratio("fleet_apis_"+encoding+"_vs_nginx"+connectionSuffix(clients), perSecond[gatehouse], perSecond[nginx])
	return nil
}
