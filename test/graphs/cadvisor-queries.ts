/**
 * What dashboards that people share for cAdvisor ask Prometheus for, in their usual forms: containers are those with an
 * image or a name, the machine is the cgroup "/", a variable holds instances or names.
 */
export const queriesOfContainers: readonly string[] = [
  // Overviews: how many, how much in all.
  'count(container_last_seen{image!=""})',
  'count(container_last_seen{name=~".+"})',
  'sum(rate(container_cpu_usage_seconds_total{image!=""}[1m])) / scalar(sum(machine_cpu_cores)) * 100',
  'sum(container_memory_usage_bytes{image!=""}) / scalar(sum(machine_memory_bytes)) * 100',
  'sum(container_memory_rss{name=~".+"})',
  'sum(container_memory_cache{name=~".+"})',
  'sum(container_memory_swap{name!=""})',

  // One curve for each container.
  'sum(rate(container_cpu_usage_seconds_total{image!=""}[1m])) by (name)',
  'sum(rate(container_cpu_usage_seconds_total{name=~".+"}[1m])) by (name) * 100',
  'sum by (name) (irate(container_cpu_usage_seconds_total{image!="",container_label_org_label_schema_group=""}[1m]))',
  'sum(rate(container_cpu_user_seconds_total{image!=""}[1m])) by (name)',
  'sum(rate(container_cpu_system_seconds_total{image!=""}[1m])) by (name)',
  'sum(container_memory_rss{instance=~".+",name=~".+"}) by (name)',
  'sum(container_memory_cache{instance=~".+",name=~".+"}) by (name)',
  'container_memory_usage_bytes{name=~".+"}',
  'sum(container_memory_working_set_bytes{name!=""}) by (name)',
  'container_memory_working_set_bytes{name!=""} / (container_spec_memory_limit_bytes{name!=""} > 0)',
  'sum(rate(container_network_receive_bytes_total{name=~".+"}[1m])) by (name)',
  'sum(rate(container_network_transmit_bytes_total{name=~".+"}[1m])) by (name)',
  'sum(rate(container_network_receive_packets_total{image!="",interface="eth0"}[1m])) by (name)',
  'sum(rate(container_network_receive_packets_dropped_total{image!=""}[1m])) by (name)',
  'sum(rate(container_network_transmit_errors_total{image!=""}[1m])) by (name)',
  'sum by (name) (rate(container_cpu_cfs_throttled_periods_total{name!=""}[1m]))',
  'sum by (name) (increase(container_memory_failcnt{name!=""}[1m]))',
  'sum by (name) (increase(container_oom_events_total{name!=""}[1m]))',
  'sum by (name) (container_processes{name!=""})',
  'sum by (name) (container_threads{image!=""})',

  // Tables: age, image, what it may use.
  'time() - container_last_seen{name=~".+"}',
  '(time() - container_start_time_seconds{name=~".+",image=~".+"}) / 86400',
  'container_spec_memory_limit_bytes{name=~".+"}',
  'container_spec_cpu_shares{name=~".+"}',
  'container_spec_cpu_quota{name=~".+"} / container_spec_cpu_period{name=~".+"}',
];

export const queriesOfTheMachine: readonly string[] = [
  'sum(machine_cpu_cores)',
  'sum(machine_memory_bytes)',
  'sum(rate(container_cpu_usage_seconds_total{id="/"}[1m])) / sum(machine_cpu_cores) * 100',
  'sum(container_memory_working_set_bytes{id="/"}) / sum(machine_memory_bytes) * 100',
  'sum(container_fs_usage_bytes{id="/"}) / sum(container_fs_limit_bytes{id="/"}) * 100',
  'sum(container_fs_limit_bytes{device=~".+",id="/"})',
  'time() - container_start_time_seconds{id="/"}',
];

/** The kernel counts a block device for a container once it has used one. */
export const queriesOfDisks: readonly string[] = [
  'sum(rate(container_fs_reads_bytes_total{name=~".+"}[1m])) by (name)',
  'sum(rate(container_fs_writes_bytes_total{name=~".+"}[1m])) by (name)',
  'sum(rate(container_fs_writes_total{image!=""}[1m])) by (name, device)',
];
