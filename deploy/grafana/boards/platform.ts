import { board, curves, stats } from "./board";

/** Calls of our own services; health checks and reflection would drown them. */
const own = 'grpc_service=~"lathe.+"';
const perMinute = (metric: string) => `60 * sum by (service, instance) (rate(${metric}[$__rate_interval]))`;
const process = "{{service}} {{instance}}";

export const platform = board({
  uid: "lathe-platform",
  title: "Platform",
  description: "gRPC calls, queues, NATS, processes, checkpoints and devices of all services.",
  rows: [
    {
      title: "gRPC: rate, errors, duration",
      panels: [
        curves(
          "Calls",
          "Started calls per second, by service and method.",
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
          "Answered calls per second, by status code.",
          "reqps",
          [[`sum by (grpc_code) (rate(grpc_server_handled_total{${own}}[$__rate_interval])) > 0`, "{{grpc_code}}"]],
          { min: 0 },
        ),
        curves(
          "Errors",
          "Calls per second with a status other than OK, by method and status code. No data without errors.",
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
          "gRPC messages received and sent per second. A watcher of a search gets one per event and per progress message.",
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
        stats(
          "Error budget",
          "Share of the calls of the last hour that failed with a server error. The objective is below 1 %.",
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
          "Waiting and in progress",
          "Messages per durable consumer that are not delivered yet, and that are delivered but not acknowledged.",
          "short",
          [
            ["max by (consumer) (nas_jetstream_consumer_pending)", "{{consumer}} waiting"],
            ["max by (consumer) (nas_jetstream_consumer_ack_pending)", "{{consumer}} in hand"],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Idle workers",
          "Open pull requests per durable consumer, summed over all processes. Each is a worker without work.",
          "short",
          [["sum by (consumer) (nas_jetstream_consumer_idle)", "{{consumer}}"]],
          { w: 6, min: 0 },
        ),
        curves(
          "Stuck messages",
          "Work items in the stream that no consumer has pending or in progress. They will never be delivered.",
          "short",
          [["max by (stream) (nas_jetstream_stuck_messages)", "{{stream}}"]],
          { w: 6, min: 0 },
        ),
        curves(
          "Redeliveries",
          "Messages in progress that were delivered before, redeliveries per minute, and events dropped after their last attempt.",
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
          "Leases lost per minute. A lost lease means that another worker has taken the item.",
          "cpm",
          [[perMinute("nas_job_lease_lost_total"), process]],
          { w: 12, min: 0 },
        ),
      ],
    },
    {
      title: "NATS",
      panels: [
        stats(
          "NATS connections",
          "Service processes with and without a connection to NATS.",
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
          "Requests to NATS that were repeated because no answer came, and messages that could not be decoded, per minute.",
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
          "Event-loop delay of each service. Above 100 ms, calls and heartbeats are late too.",
          "s",
          [["max by (service, instance) (nodejs_eventloop_lag_p99_seconds)", process]],
          { min: 0 },
        ),
        curves(
          "CPU",
          "CPU cores that each service process uses, without the child processes that train, derive or measure.",
          "none",
          [["sum by (service, instance) (rate(process_cpu_seconds_total[$__rate_interval]))", process]],
          { min: 0 },
        ),
        curves(
          "Memory of the services",
          "Resident memory per service process, without the training process.",
          "bytes",
          [["max by (service, instance) (process_resident_memory_bytes)", process]],
          { min: 0 },
        ),
        curves(
          "Heap",
          "Used JavaScript heap per service process.",
          "bytes",
          [["max by (service, instance) (nodejs_heap_size_used_bytes)", process]],
          { min: 0 },
        ),
        curves(
          "Garbage collection",
          "Share of time that each service process spends in garbage collection.",
          "percentunit",
          [["sum by (service, instance) (rate(nodejs_gc_duration_seconds_sum[$__rate_interval]))", process]],
          { min: 0 },
        ),
        stats(
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
          "p50 and p95 of the time between two finished training steps. It falls as candidates are removed.",
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
          "Resident memory of the training process, a child of the service; 0 while none runs.",
          "bytes",
          [["max by (instance) (nas_training_resident_bytes)", "{{instance}}"]],
          { w: 12, min: 0 },
        ),
        curves(
          "GPU utilisation",
          "Share of time that the GPU computes, per device. Needs NVIDIA's dcgm-exporter; no data without it.",
          "percent",
          [["max by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)", "{{Hostname}} {{gpu}}"]],
          { w: 12, min: 0, max: 100 },
        ),
        curves(
          "GPU memory",
          "Used and free GPU memory per device. Needs NVIDIA's dcgm-exporter; no data without it.",
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
          "Time since the training process stored its newest checkpoint, and the longest interval between checkpoints of this training. A crash loses this much work. No data while nothing trains.",
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
