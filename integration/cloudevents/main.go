// Sends and reads CloudEvents with Go's sdk-go/v2: `http URL`, `kafka BOOTSTRAP TOPIC` send the events on stdin;
// `read-http URL`, `read-kafka BOOTSTRAP TOPIC` print those of partition 0. clients/cloudevents_python.py describes the lines.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

type line struct {
	Attributes map[string]string `json:"attributes"`
	JSON       json.RawMessage   `json:"json,omitempty"`
	Base64     *string           `json:"base64,omitempty"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func events() []cloudevents.Event {
	var all []cloudevents.Event
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var given line
		check(json.Unmarshal(lines.Bytes(), &given))
		event := cloudevents.NewEvent()
		kind := ""
		for name, value := range given.Attributes {
			switch name {
			case "id":
				event.SetID(value)
			case "source":
				event.SetSource(value)
			case "type":
				event.SetType(value)
			case "subject":
				event.SetSubject(value)
			case "time":
				at, err := time.Parse(time.RFC3339, value)
				check(err)
				event.SetTime(at)
			case "datacontenttype":
				kind = value
			case "specversion":
			default:
				event.SetExtension(name, value)
			}
		}
		switch {
		case given.JSON != nil:
			check(event.SetData(kind, given.JSON))
		case given.Base64 != nil:
			data, err := base64.StdEncoding.DecodeString(*given.Base64)
			check(err)
			if strings.HasPrefix(kind, "text/") {
				check(event.SetData(kind, string(data)))
			} else {
				check(event.SetData(kind, data))
			}
		}
		all = append(all, event)
	}
	return all
}

func mode(event *cloudevents.Event, name string) {
	event.SetID(name + "/" + event.ID())
}

func show(event *cloudevents.Event) {
	shown := line{Attributes: map[string]string{
		"specversion": event.SpecVersion(), "id": event.ID(), "source": event.Source(), "type": event.Type(),
	}}
	if event.Subject() != "" {
		shown.Attributes["subject"] = event.Subject()
	}
	if event.DataContentType() != "" {
		shown.Attributes["datacontenttype"] = event.DataContentType()
	}
	if !event.Time().IsZero() {
		shown.Attributes["time"] = event.Time().UTC().Format("2006-01-02T15:04:05.000Z")
	}
	for name, value := range event.Extensions() {
		// The SDK adds the place of the record.
		if name == "kafkatopic" || name == "kafkapartition" || name == "kafkaoffset" {
			continue
		}
		shown.Attributes[name] = fmt.Sprint(value)
	}
	if data := event.Data(); data != nil {
		if event.DataContentType() == "application/json" {
			shown.JSON = data
		} else {
			text := base64.StdEncoding.EncodeToString(data)
			shown.Base64 = &text
		}
	}
	out, err := json.Marshal(shown)
	check(err)
	fmt.Println(string(out))
}

func main() {
	background := context.Background()
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	switch os.Args[1] {
	case "http":
		client, err := cloudevents.NewClientHTTP(cehttp.WithTarget(os.Args[2]))
		check(err)
		var batch []cloudevents.Event
		for _, event := range events() {
			binary, structured := event.Clone(), event.Clone()
			mode(&binary, "http-binary")
			mode(&structured, "http-structured")
			for _, result := range []error{
				client.Send(cloudevents.WithEncodingBinary(background), binary),
				client.Send(cloudevents.WithEncodingStructured(background), structured),
			} {
				if !cloudevents.IsACK(result) {
					check(result)
				}
			}
			mode(&event, "http-batch")
			batch = append(batch, event)
		}
		request, err := cehttp.NewHTTPRequestFromEvents(background, os.Args[2], batch)
		check(err)
		answer, err := http.DefaultClient.Do(request)
		check(err)
		if answer.StatusCode != http.StatusOK {
			check(fmt.Errorf("the batch was answered with %s", answer.Status))
		}
	case "kafka":
		config.Producer.Return.Successes = true
		sender, err := kafka_sarama.NewSender([]string{os.Args[2]}, config, os.Args[3])
		check(err)
		client, err := cloudevents.NewClient(sender)
		check(err)
		for _, event := range events() {
			for _, name := range []string{"kafka-binary", "kafka-structured"} {
				sent := event.Clone()
				mode(&sent, name)
				sending := cloudevents.WithEncodingBinary(background)
				if name == "kafka-structured" {
					sending = cloudevents.WithEncodingStructured(background)
				}
				if key, ok := sent.Extensions()["partitionkey"].(string); ok {
					sending = kafka_sarama.WithMessageKey(sending, sarama.StringEncoder(key))
				}
				if result := client.Send(sending, sent); !cloudevents.IsACK(result) {
					check(result)
				}
			}
		}
		check(sender.Close(background))
	case "read-http":
		request, err := http.NewRequest(http.MethodGet, os.Args[2], nil)
		check(err)
		request.Header.Set("Accept", cloudevents.ApplicationCloudEventsBatchJSON)
		answer, err := http.DefaultClient.Do(request)
		check(err)
		read, err := cehttp.NewEventsFromHTTPResponse(answer)
		check(err)
		for index := range read {
			show(&read[index])
		}
	case "read-kafka":
		client, err := sarama.NewClient([]string{os.Args[2]}, config)
		check(err)
		end, err := client.GetOffset(os.Args[3], 0, sarama.OffsetNewest)
		check(err)
		consumer, err := sarama.NewConsumerFromClient(client)
		check(err)
		partition, err := consumer.ConsumePartition(os.Args[3], 0, sarama.OffsetOldest)
		check(err)
		for offset := int64(0); offset < end; {
			record := <-partition.Messages()
			offset = record.Offset + 1
			message := kafka_sarama.NewMessageFromConsumerMessage(record)
			event, err := binding.ToEvent(background, message)
			if err != nil {
				fmt.Fprintf(os.Stderr, "offset %d: %v\n", record.Offset, err)
				continue
			}
			show(event)
		}
	default:
		check(fmt.Errorf("unknown verb %s", os.Args[1]))
	}
}
