"""Copy metrics into the Iceberg table lake.chat.metrics, with the Spark example's own reading and decoding."""

import os

import metrics_to_parquet as job
from pyspark.sql import SparkSession

if __name__ == "__main__":
    spark = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    topic = f"{job.PREFIX}.metrics"
    rows = job.read(spark, topic).select(job.decoded(topic).alias("row")).select("row.*")
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.chat")
    query = (
        rows.writeStream.outputMode("append")
        .option("checkpointLocation", f"{os.environ['OUT']}/checkpoint")
        .trigger(availableNow=True)
        .toTable("lake.chat.metrics", format="iceberg")
    )
    query.awaitTermination()
    spark.stop()
