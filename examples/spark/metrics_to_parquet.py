"""Copy metrics to Parquet with Spark Structured Streaming, and average them per department and minute.

The values are decoded by the schema id of each record, so that versions may lie mixed in the topic; every row gets the
columns of the newest version. OSS Spark knows no schema registry: the schemas of all versions are asked for at start,
so start the job again after a new version was registered (a record of an unknown version stops it).

Reads what lies in the topic and ends (`availableNow`); called again, it goes on behind its checkpoint.
"""

import json
import os
import urllib.parse
import urllib.request

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sql
from pyspark.sql.avro.functions import from_avro

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")
PREFIX = os.environ.get("PREFIX", "zendesk.chat")
ISOLATION = os.environ.get("ISOLATION", "read_committed")
OUT = os.environ.get("OUT", "/tmp/zendesk-chat")


def from_registry(path: str) -> object:
    """The registry's answer to one GET."""
    with urllib.request.urlopen(f"{REGISTRY}/{path}", timeout=10) as answer:
        return json.load(answer)


def versions(topic: str) -> dict[int, str]:
    """Schema id to schema text, of every version of the topic's values, oldest first."""
    subject = urllib.parse.quote(f"{topic}-value", safe="")
    found = [
        from_registry(f"subjects/{subject}/versions/{number}")
        for number in from_registry(f"subjects/{subject}/versions")
    ]
    return {version["id"]: version["schema"] for version in sorted(found, key=lambda version: version["version"])}


def read(spark: SparkSession, topic: str) -> DataFrame:
    """Committed records only: Spark's default shows what a transaction took back."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", BOOTSTRAP)
        .option("kafka.isolation.level", ISOLATION)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
    )


def decoded(topic: str) -> Column:
    """The record as a struct of the newest version: a zero byte, the schema id in four bytes, then Avro."""
    known = versions(topic)
    newest = list(known.values())[-1]
    number = sql.conv(sql.hex(sql.substring("value", 2, 4)), 16, 10).cast("int")
    payload = sql.expr("substring(value, 6)")
    by_version = sql
    for schema_id, text in known.items():
        options = {"avroSchema": newest, "mode": "FAILFAST"}
        by_version = by_version.when(number == schema_id, from_avro(payload, text, options))
    unknown = sql.raise_error(sql.concat(sql.lit("unknown schema id "), number))
    return by_version.otherwise(unknown)


def averages(rows: DataFrame) -> DataFrame:
    """Per minute, department and metric; a row may come 5 s late."""
    return (
        rows.withWatermark("received_at", "5 seconds")
        .groupBy(sql.window("received_at", "1 minute"), "account", "department_id", "metric", "window_minutes")
        .agg(sql.avg("value").alias("average"), sql.count("*").alias("updates"))
        .select("window.*", "account", "department_id", "metric", "window_minutes", "average", "updates")
    )


def write(frame: DataFrame, name: str) -> None:
    """Append what is there now to a folder of Parquet files, exactly once."""
    query = (
        frame.writeStream.format("parquet")
        .option("path", f"{OUT}/{name}")
        .option("checkpointLocation", f"{OUT}/{name}.checkpoint")
        .outputMode("append")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()


def main() -> None:
    """Run both queries, one after the other."""
    spark = (
        SparkSession.builder.appName("zendesk-chat-metrics")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("WARN")
    topic = f"{PREFIX}.metrics"
    rows = read(spark, topic).select(decoded(topic).alias("row")).select("row.*")
    write(rows, "metrics")
    if os.environ.get("AVERAGES", "true") == "true":
        write(averages(rows), "averages")
    spark.stop()


if __name__ == "__main__":
    main()
