import { board, curves, figures } from "./board";

/** Calls of our own services; health checks and reflection would drown them. */
const own = 'grpc_service=~"lathe.+"';
const perMinute = (metric: string) => `60 * sum by (service, instance) (rate(${metric}[$__rate_interval]))`;
const process = "{{service}} {{instance}}";

export const platform = board({
  uid: "lathe-platform",
  title: "Platform",
  description: "What the services run on: calls, queues, NATS, processes, checkpoints and devices.",
  rows: [
    {
      title: "gRPC: rate, errors, duration",
      panels: [
        curves(
          "Calls",
          "Calls per second that began, by service and method.",
          "reqps",
          [
            [
              `sum by (grpc_service, grpc_method) (rate(grpc_server_started_total{${own}}[$__rate_interval]))`,
              "{{grpc_service}} {{grpc_method}}",
            ],
          ],
          { min: 0 },
        ),
        curves(
          "Answers",
          "Calls per second that were answered, by status code.",
          "reqps",
          [[`sum by (grpc_code) (rate(grpc_server_handled_total{${own}}[$__rate_interval])) > 0`, "{{grpc_code}}"]],
          { min: 0 },
        ),
        curves(
          "Errors",
          "Calls per second that were answered by another code than OK, by method and code. Empty while there are none.",
          "reqps",
          [
            [
              `sum by (grpc_service, grpc_method, grpc_code) (rate(grpc_server_handled_total{${own},grpc_code!="OK"}[$__rate_interval])) > 0`,
              "{{grpc_service}} {{grpc_method}} {{grpc_code}}",
            ],
          ],
          { min: 0 },
        ),
        curves(
          "Time of unary calls, p95",
          "Time from the start of a unary call to its status, by method.",
          "s",
          [
            [
              `histogram_quantile(0.95, sum by (le, grpc_service, grpc_method) (rate(grpc_server_handling_seconds_bucket{grpc_type="unary",${own}}[$__rate_interval])))`,
              "{{grpc_service}} {{grpc_method}}",
            ],
          ],
          { min: 0 },
        ),
        curves(
          "Messages",
          "Messages received and sent per second; watchers of a search get one per event and progress.",
          "none",
          [
            [
              `sum by (service) (rate(grpc_server_msg_received_total{${own}}[$__rate_interval]))`,
              "{{service}} received",
            ],
            [`sum by (service) (rate(grpc_server_msg_sent_total{${own}}[$__rate_interval]))`, "{{service}} sent"],
          ],
          { min: 0 },
        ),
        figures(
          "Error budget",
          "Share of the calls of the last hour that failed by a fault of the service; the aim is below 1 %.",
          "percentunit",
          [["max by (grpc_service) (lathe:grpc_server_errors:ratio_rate1h)", "{{grpc_service}}"]],
          { w: 8, h: 8, decimals: 2 },
        ),
      ],
    },
    {
      title: "Queues",
      panels: [
        curves(
          "Waiting and in hand",
          "Per durable consumer: messages that nobody has taken yet, and those that are in hand.",
          "short",
          [
            ["max by (consumer) (nas_jetstream_consumer_pending)", "{{consumer}} waiting"],
            ["max by (consumer) (nas_jetstream_consumer_ack_pending)", "{{consumer}} in hand"],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Idle workers",
          "Pulls that wait for a message, per durable consumer, over all processes.",
          "short",
          [["sum by (consumer) (nas_jetstream_consumer_idle)", "{{consumer}}"]],
          { w: 6, min: 0 },
        ),
        curves(
          "Stuck messages",
          "Work items that no consumer has waiting or in hand: nobody will ever take them.",
          "short",
          [["max by (stream) (nas_jetstream_stuck_messages)", "{{stream}}"]],
          { w: 6, min: 0 },
        ),
        curves(
          "Delivered again",
          "Messages in hand that had been delivered before, such deliveries per minute, and events given up after their attempts.",
          "none",
          [
            ["max by (consumer) (nas_jetstream_consumer_redelivered)", "{{consumer}}"],
            [perMinute("nas_jetstream_redelivered_total"), `${process} per minute`],
            [perMinute("nas_events_dropped_total"), `${process} given up per minute`],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Lost leases",
          "Deliveries in hand whose lease was lost, per minute: another worker has taken the item.",
          "cpm",
          [[perMinute("nas_job_lease_lost_total"), process]],
          { w: 12, min: 0 },
        ),
      ],
    },
    {
      title: "NATS",
      panels: [
        figures(
          "On the bus",
          "Service processes that are connected to NATS, and those that are not.",
          "short",
          [
            ["sum(nas_nats_connected)", "connected"],
            ["sum(1 - nas_nats_connected)", "lost"],
          ],
          { w: 8, h: 8 },
        ),
        curves(
          "Reconnections",
          "Reconnections to NATS per minute.",
          "cpm",
          [[perMinute("nas_nats_reconnects_total"), process]],
          { min: 0 },
        ),
        curves(
          "Retries and malformed messages",
          "Requests to NATS that were sent again for want of an answer, and messages that could not be read, per minute.",
          "cpm",
          [
            [perMinute("nas_nats_retries_total"), `${process} sent again`],
            [perMinute("nas_nats_malformed_total"), `${process} malformed`],
          ],
          { min: 0 },
        ),
      ],
    },
    {
      title: "Processes",
      panels: [
        curves(
          "Event-loop lag, p99",
          "How late the event loop of a service turns; above 100 ms, calls and heartbeats are late too.",
          "s",
          [["max by (service, instance) (nodejs_eventloop_lag_p99_seconds)", process]],
          { min: 0 },
        ),
        curves(
          "Processor time",
          "Processors that a service uses, the child process that trains, derives or measures left out.",
          "none",
          [["sum by (service, instance) (rate(process_cpu_seconds_total[$__rate_interval]))", process]],
          { min: 0 },
        ),
        curves(
          "Memory of the services",
          "Resident memory per service process, the training process left out.",
          "bytes",
          [["max by (service, instance) (process_resident_memory_bytes)", process]],
          { min: 0 },
        ),
        curves(
          "Heap",
          "Heap of JavaScript that is in use, per service process.",
          "bytes",
          [["max by (service, instance) (nodejs_heap_size_used_bytes)", process]],
          { min: 0 },
        ),
        curves(
          "Garbage collection",
          "Share of the time that a service process spends in it.",
          "percentunit",
          [["sum by (service, instance) (rate(nodejs_gc_duration_seconds_sum[$__rate_interval]))", process]],
          { min: 0 },
        ),
        figures(
          "Certificate expires in",
          "Time until the certificate of a gRPC server expires. No data without TLS.",
          "s",
          [["min by (service, instance) (nas_tls_certificate_expiry_timestamp_seconds) - time()", process]],
          { w: 8, h: 8 },
        ),
      ],
    },
    {
      title: "Training and devices",
      panels: [
        curves(
          "Step duration",
          "p50 and p95 of the time between two finished steps; it falls as candidates leave the computation.",
          "s",
          [
            [
              "histogram_quantile(0.5, sum by (le, phase) (rate(nas_step_duration_seconds_bucket[$__rate_interval])))",
              "p50 {{phase}}",
            ],
            [
              "histogram_quantile(0.95, sum by (le, phase) (rate(nas_step_duration_seconds_bucket[$__rate_interval])))",
              "p95 {{phase}}",
            ],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Memory of the training process",
          "Resident memory of the process that trains, which is not the service's own; 0 where none runs.",
          "bytes",
          [["max by (instance) (nas_training_resident_bytes)", "{{instance}}"]],
          { w: 12, min: 0 },
        ),
        curves(
          "GPU utilisation",
          "Share of the time that the GPU computes, per device. From NVIDIA's dcgm-exporter: no data where it is not installed.",
          "percent",
          [["max by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)", "{{Hostname}} {{gpu}}"]],
          { w: 12, min: 0, max: 100 },
        ),
        curves(
          "GPU memory",
          "Memory of the GPU that is in use, and its free rest, per device. From NVIDIA's dcgm-exporter: no data where it is not installed.",
          "decmbytes",
          [
            ["max by (Hostname, gpu) (DCGM_FI_DEV_FB_USED)", "{{Hostname}} {{gpu}} used"],
            ["max by (Hostname, gpu) (DCGM_FI_DEV_FB_FREE)", "{{Hostname}} {{gpu}} free"],
          ],
          { w: 12, min: 0 },
        ),
      ],
    },
    {
      title: "Checkpoints and artifacts",
      panels: [
        curves(
          "Age of the checkpoint",
          "Time since a training process stored its newest checkpoint, and the longest that this training went without one: what a crash would lose. No data while none trains.",
          "s",
          [
            [
              '(time() - max by (instance) (nas_checkpoint_last_success_timestamp_seconds{bucket="checkpoints"})) and on (instance) nas_training_started_timestamp_seconds',
              "{{instance}} age",
            ],
            ["max by (instance) (nas_training_checkpoint_interval_seconds)", "{{instance}} longest"],
          ],
          { w: 6, min: 0 },
        ),
        curves(
          "Time to store",
          "p95 of the time to store a checkpoint or an artifact.",
          "s",
          [
            [
              "histogram_quantile(0.95, sum by (le, bucket) (rate(nas_checkpoint_duration_seconds_bucket[$__rate_interval])))",
              "{{bucket}}",
            ],
          ],
          { w: 6, min: 0 },
        ),
        curves(
          "Size",
          "Size of the newest checkpoint and of the newest artifact.",
          "bytes",
          [["max by (bucket) (nas_checkpoint_size_bytes)", "{{bucket}}"]],
          { w: 6, min: 0, step: true },
        ),
        curves(
          "Failures",
          "Checkpoints and artifacts that could not be stored, per minute.",
          "cpm",
          [["60 * sum by (bucket) (rate(nas_checkpoint_failures_total[$__rate_interval]))", "{{bucket}}"]],
          { w: 6, min: 0 },
        ),
      ],
    },
  ],
});
